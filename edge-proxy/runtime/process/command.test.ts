import { expect, it } from 'vitest';
import { startCommand } from './command.ts';

it.each([
  { command: ['true'], code: 0, error: undefined, output: '' },
  { command: ['sh', '-c', 'echo a; echo b >&2; exit 7'], code: 7, error: undefined, output: /^(a\nb|b\na)$/ },
  { command: ['sh', '-c', 'kill -9 $$'], code: undefined, error: 'the command was ended by SIGKILL', output: '' },
  { command: ['echo', '$HOME;', '*'], code: 0, error: undefined, output: '$HOME; *' },
] as const)('$command', async ({ command, output, ...end }) => {
  const found = await startCommand([...command], []).ended;
  expect(found).toMatchObject(end);
  expect(found.output).toMatch(output);
});

it('a program that is not there is named', async () => {
  const { code, error } = await startCommand(['/nowhere/probe'], []).ended;
  expect(code).toBeUndefined();
  expect(error).toMatch(/^the command cannot be started: \/nowhere\/probe: .*ENOENT/);
});

it('output without end neither fills memory nor stops the command', async () => {
  const { code, output } = await startCommand(['sh', '-c', 'head -c 3000000 /dev/zero | tr "\\0" x'], []).ended;
  expect([code, output]).toEqual([0, 'x'.repeat(1024)]);
});

it('a process that a command leaves behind does not hold up its end', async () => {
  const began = performance.now();
  const running = startCommand(['sh', '-c', 'sleep 5 & echo done'], []);
  expect(await running.ended).toMatchObject({ code: 0, output: 'done' });
  expect(performance.now() - began).toBeLessThan(4000);
});

it('kill ends what the command started, too', async () => {
  const running = startCommand(['sh', '-c', 'sleep 600 & echo $!; wait'], []);
  const began = performance.now();
  running.kill();
  expect(await running.ended).toMatchObject({ code: undefined, error: 'the command was ended by SIGKILL' });
  expect(performance.now() - began).toBeLessThan(4000);
  running.kill();
});
