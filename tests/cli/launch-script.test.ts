import { join } from 'node:path';
import { expect, it } from 'vitest';
import { launchScript, tokenDescriptor } from '../../control/cli/launch/launch-script.ts';
import { ROOT, temporaryFolder } from '../kit/environment.ts';
import { outputOf, runSync } from '../kit/process.ts';

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

it.each([
  ['systemd', 'LISTEN_PID=$$ LISTEN_FDS=4 LISTEN_FDNAMES=outbound:outbound6:inbound:inbound6'],
  ['"tulle capture exec"', 'TULLE_LISTEN_FDS=outbound=3,outbound6=4,inbound=5,inbound6=6'],
])('the command "tulle" becomes a proxy that has the sockets of %s', (_, sockets) => {
  const flags = '--interception-mode TPROXY --control-plane https://127.0.0.1:9 --data "$1"';
  const script = `export ${sockets}; exec 3</dev/null 4<&3 5<&3 6<&3 "$0" proxy ${flags}`;
  const folder = temporaryFolder();
  const { error } = runSync('/bin/sh', ['-c', script, join(ROOT, 'control/cli/tulle'), folder.path]);
  folder.dispose();
  // It looks for an identity once it has its sockets.
  expect(error).toContain('no certificate in');
});
