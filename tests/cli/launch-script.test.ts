import { expect, it } from 'vitest';
import { launchScript, refuseLostSockets, tokenDescriptor } from '../../control/cli/launch/launch-script.ts';
import { outputOf } from '../kit/process.ts';

const shell = (script: string, env: Record<string, string> = {}) =>
  outputOf('/bin/sh', ['-c', 'eval "$1"', 'sh', script], { env });

it('a shell becomes the program, with its arguments as they are and without removed variables', () => {
  const args = ['-c', 'printf "%s|" "$@" "$GONE" "$KEPT"', 'sh', "it's", '$(id)', 'a b', ''];
  const before = { GONE: 'x', KEPT: 'y', TULLE_LAUNCH_SCRIPT: '1' };
  const script = launchScript({ program: '/bin/sh', args, environment: { KEPT: 'y' } }, before);
  expect(shell(script, { GONE: 'x', KEPT: 'y' })).toBe("it's|$(id)|a b|||y|");
});

it('the token goes into a pipe, and is no text of the shell', () => {
  const token = { text: 'a$(id)`id`\\b', descriptor: 9 };
  const script = launchScript({ program: '/bin/cat', args: ['/dev/fd/9'], environment: {}, token }, {});
  expect(shell(script)).toBe(`${token.text}\n`);
});

it('the descriptor of the token is none of the sockets', () => {
  expect(tokenDescriptor({ TULLE_LISTEN_FDS: 'outbound=3,inbound=9' })).toBe(8);
  expect(tokenDescriptor({ LISTEN_FDS: '4' })).toBe(9);
  expect(() => tokenDescriptor({ LISTEN_FDS: '7' })).toThrow('leaves no descriptor');
});

it('sockets that would be lost are refused, and those of another process are none', () => {
  expect(() => refuseLostSockets({ TULLE_LISTEN_FDS: 'outbound=3' })).toThrow('TULLE_LISTEN_FDS: Node would close');
  expect(() => refuseLostSockets({ LISTEN_FDS: '1', LISTEN_PID: String(process.pid) })).toThrow('LISTEN_FDS: Node');
  expect(() => refuseLostSockets({ LISTEN_FDS: '1', LISTEN_PID: '1' })).not.toThrow();
  expect(() => refuseLostSockets({})).not.toThrow();
});
