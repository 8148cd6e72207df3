/** A machine whose clock is wrong does not join. */
import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HOSTS } from '../kit/hosts.ts';
import { MACHINES } from '../kit/machines.ts';
import { InvitingMesh } from './inviting-mesh.ts';

const FAKETIME = `/usr/lib/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu/faketime/libfaketime.so.1`;
const HAS_FAKETIME = existsSync(FAKETIME);
if (!HAS_FAKETIME) console.warn('skipped: no wrong clock (apt-get install faketime)');

describe.skipIf(!HOSTS || !MACHINES)('a machine that joins', () => {
  const mesh = new InvitingMesh();
  const { invite, boot, stateOf } = mesh;

  beforeAll(() => mesh.start());
  afterAll(() => mesh.close());

  it.skipIf(!HAS_FAKETIME).each([
    ['+10m', '10 min ahead of'],
    ['-10m', '10 min behind'],
  ])(
    'with a clock that is wrong by %s is refused in one line, before the invitation is used',
    async (offset, found) => {
      const machine = await boot();
      const before = await stateOf(machine);
      const line = await invite('--service-account', 'reviews');
      const { code, out, error } = await machine.shell(
        `export LD_PRELOAD=${FAKETIME} FAKETIME=${offset} FAKETIME_DONT_FAKE_MONOTONIC=1\n${line}`,
      );
      expect({ code, out }, error).toEqual({ code: 1, out: '' });
      expect(error.trimEnd().split('\n').at(-1)).toBe(
        `tulle: the clock of this machine is ${found} ${mesh.url}; set it, as by "timedatectl set-ntp true", on the machine that is wrong`,
      );
      expect(await stateOf(machine)).toBe(before);
      expect(await machine.shell(line)).toMatchObject({ code: 0 });
    },
  );
});
