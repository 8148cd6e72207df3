import { closeSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { LINUX, temporaryFolder } from '../../tests/kit/environment.ts';
import { takeJoinToken } from './join-token.ts';

describe('takeJoinToken', () => {
  const other = { PATH: '/bin' };

  it('takes the token out of the environment', () => {
    const taken = takeJoinToken(['--ip', '::1'], { ...other, TULLE_JOIN_TOKEN: 't', TULLE_JOIN_TOKEN_FILE: '/f' });
    expect(taken).toEqual({ token: 't', args: ['--ip', '::1'], environment: other });
    expect(takeJoinToken([], { ...other, TULLE_JOIN_TOKEN: '' }).token).toBeUndefined();
  });

  it('takes the token out of the flags, which go before the environment', () => {
    const environment = { ...other, TULLE_JOIN_TOKEN: 'not this' };
    for (const flag of [['--join-token', 't'], ['--join-token=t']])
      expect(takeJoinToken(['--announce', ...flag, '--ip', '::1'], environment)).toEqual({
        token: 't',
        args: ['--announce', '--ip', '::1'],
        environment: other,
      });
    expect(takeJoinToken(['--join-token-file', '/f'], environment)).toEqual({
      token: undefined,
      args: ['--join-token-file', '/f'],
      environment: other,
    });
  });

  it('leaves the name of a file to the proxy', () => {
    expect(takeJoinToken(['--announce'], { ...other, TULLE_JOIN_TOKEN_FILE: '/f' })).toEqual({
      token: undefined,
      args: ['--announce', '--join-token-file', '/f'],
      environment: other,
    });
  });

  it('refuses two flags', () => {
    expect(() => takeJoinToken(['--join-token', 't', '--join-token-file=/f'], {})).toThrow(
      '--join-token, --join-token-file: only one of them may be given',
    );
  });

  it.skipIf(!LINUX)('reads a descriptor itself: a program that is started does not have it', () => {
    const folder = temporaryFolder();
    const path = join(folder.path, 'token');
    writeFileSync(path, 't\n');
    const descriptor = openSync(path, 'r');
    try {
      expect(takeJoinToken([`--join-token-file=/dev/fd/${descriptor}`], other)).toEqual({
        token: 't',
        args: [],
        environment: other,
      });
      writeFileSync(path, '\n');
      expect(() => takeJoinToken([`--join-token-file=/dev/fd/${descriptor}`], other)).toThrow('is empty');
      expect(() => takeJoinToken(['--join-token-file=/dev/fd/9999'], other)).toThrow(
        /^--join-token-file \/dev\/fd\/9999: ENOENT/,
      );
    } finally {
      closeSync(descriptor);
      folder.dispose();
    }
  });
});
