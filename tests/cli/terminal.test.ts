/** Colours only on a terminal without NO_COLOR. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { tulleCommand } from '../kit/command.ts';
import { temporaryFolder } from '../kit/environment.ts';
import { run, works } from '../kit/process.ts';

/** Runs its arguments on a terminal of their own and passes on what they write there. */
const ON_TERMINAL = `
import os, pty, sys
read = lambda fd: os.read(fd, 65536)
sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:], read, lambda fd: b'')))
`;
const python = works('python3', ['-c', 'import pty']);
if (!python) console.warn('skipped: python3 is not installed');
const folder = temporaryFolder();
afterAll(() => folder.dispose());
const invalid = join(folder.path, 'invalid.yaml');
writeFileSync(
  invalid,
  'apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: { name: a }\nspec: { htpp: [] }\n',
);

async function written(terminal: boolean, args: readonly string[], colour: Record<string, string | undefined>) {
  const command = tulleCommand(...args);
  const [program, ...rest] = terminal ? (['python3', '-c', ON_TERMINAL, ...command] as const) : command;
  const env = { NO_COLOR: undefined, FORCE_COLOR: undefined, TERM: 'xterm', ...colour };
  return (await run(program, rest, { env })).out;
}

describe.skipIf(!python)('on a terminal', () => {
  it('violations are coloured', async () => {
    const text = await written(true, ['validate', '-f', invalid], {});
    expect(text).toContain('\u001b[31mviolation\u001b[0m');
  });

  it.each([{ NO_COLOR: '1' }, { TERM: 'dumb' }])('not with %j', async (environment) => {
    const text = await written(true, ['validate', '-f', invalid], environment);
    expect(text).toContain('violation');
    expect(text).not.toContain('\u001b');
  });

  it('machine-readable output is not', async () => {
    expect(await written(true, ['validate', '-f', invalid, '-o', 'json'], {})).not.toContain('\u001b');
  });
});

it('nothing is coloured in a pipe', async () => {
  const text = await written(false, ['validate', '-f', invalid], {});
  expect(text).toContain('violation');
  expect(text).not.toContain('\u001b');
});

it('a reader that closes the pipe early is not an error', async () => {
  const [program, ...args] = tulleCommand('explain', 'virtualservice', '--recursive');
  const quoted = [program, ...args].map((word) => `'${word}'`).join(' ');
  const { error } = await run('sh', ['-c', `{ ${quoted}; echo "code $?" >&2; } | head -c 1 >/dev/null`]);
  expect(error).toBe('code 0\n');
});
