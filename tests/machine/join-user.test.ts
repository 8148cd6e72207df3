/** A user without root joins a machine: the service is a unit of the user's own systemd. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HOSTS } from '../kit/hosts.ts';
import { MACHINES, type TestMachine } from '../kit/machines.ts';
import { InvitingMesh } from './inviting-mesh.ts';

describe.skipIf(!HOSTS || !MACHINES)('a machine that a user joins', () => {
  const mesh = new InvitingMesh();
  const { invite, boot, stateOf } = mesh;

  beforeAll(() => mesh.start());
  afterAll(() => mesh.close());

  it('as a user without root has a unit of the user, which leave removes', async () => {
    const machine = await boot();
    const user = await userWithManager(machine);
    const before = await stateOf(machine);
    // Folders of the XDG base directories, and the cache of the runtime's compiled code, stay.
    const files = 'find ~ /tmp -user worker -not -path "*/.cache/*" ( -type f -o -name "*tulle*" ) | sort';
    const filesBefore = await user(files);
    const joined = await user(`${await invite('--service-account', 'reviews', '--no-sudo')}`);
    expect(joined, joined.error).toMatchObject({ code: 0, out: '' });
    expect(joined.error).toContain('spiffe://cluster.local/ns/default/sa/reviews');
    expect(await user('systemctl --user is-active tulle-proxy')).toMatchObject({ out: 'active\n' });
    expect(await user('PATH="$HOME/.local/bin:$PATH" tulle check -o short')).toEqual({
      code: 0,
      out: 'Status check results are √\n',
      error: '',
    });
    expect(await stateOf(machine)).toBe(before);
    expect(await user('PATH="$HOME/.local/bin:$PATH" tulle leave')).toMatchObject({ code: 0 });
    expect(await user('systemctl --user list-unit-files --no-legend "tulle*"')).toMatchObject({ out: '' });
    expect((await user(files)).out).toBe(filesBefore.out);
  });

  /** @returns runs a line as a user whose systemd runs, as after `loginctl enable-linger` */
  async function userWithManager(machine: TestMachine) {
    await machine.shell(`useradd --create-home --uid 4711 worker
install -d -o worker -m 700 /run/user/4711`);
    const started = await machine.shell('systemctl start user@4711.service');
    expect(started, started.error).toMatchObject({ code: 0 });
    const as = ['setpriv', '--reuid=worker', '--regid=worker', '--init-groups', 'env', 'HOME=/home/worker'];
    const variables = ['USER=worker', 'XDG_RUNTIME_DIR=/run/user/4711'];
    return (line: string) => machine.run([...as, ...variables, 'sh', '-s'], { input: `cd\n${line}\n` });
  }
});
