/** Machines with a real systemd join a mesh by the line that `tulle invite` prints, and leave it. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bunBinary, denoBinary, nodeBinary } from '../../control/cli/runtimes.mjs';
import { formatInvitation, parseInvitation } from '../../shared/join/invitation.ts';
import { HOSTS } from '../kit/hosts.ts';
import { MACHINES, type TestMachine } from '../kit/machines.ts';
import { until } from '../kit/waiting.ts';
import { InvitingMesh } from './inviting-mesh.ts';

const GROUP = `
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: { name: reviews, namespace: default }
spec:
  metadata: { labels: { app: reviews } }
  template: { serviceAccount: reviews, ports: { http: 9080 } }
`;

describe.skipIf(!HOSTS || !MACHINES)('a machine', () => {
  const mesh = new InvitingMesh();
  const { admin, invite, boot, stateOf } = mesh;

  beforeAll(async () => {
    await mesh.start();
    await mesh.apply(GROUP);
  });
  afterAll(() => mesh.close());

  const invitationIn = (line: string): string => /tulle-join\.[\w-]+/.exec(line)![0];
  const tokensOf = async () =>
    JSON.parse((await admin(['token', 'list', '-o', 'json'])).out) as { id: string; state: string }[];

  it('joins by the printed line, stays over a reboot without control plane, and leaves as it was', async () => {
    const machine = await boot();
    await machine.shell(`cat >/etc/systemd/system/app.service <<'END'
[Service]
ExecStart=/bin/sleep infinity
[Install]
WantedBy=multi-user.target
END
systemctl daemon-reload; systemctl enable --now app.service`);
    const before = await stateOf(machine);
    const line = await invite('--service-account', 'reviews');

    const [joined, seen] = await Promise.all([machine.shell(`${line} -- app.service`), watchArguments(machine)]);
    expect(joined).toMatchObject({ code: 0, out: '' });
    expect(joined.error).toContain('spiffe://cluster.local/ns/default/sa/reviews');
    expect(joined.error).toContain('a call of this machine went through the proxy');
    expect(seen.some((words) => words.includes('join -'))).toBe(true);
    expect(seen.filter((words) => words.includes('tulle-join.'))).toEqual([]);
    const joinedState = await stateOf(machine);

    // Again: nothing changes, and the invitation, which is used up, is not needed.
    expect(await machine.shell('tulle join')).toMatchObject({
      code: 0,
      error: expect.stringContaining('nothing is changed'),
    });
    expect(await stateOf(machine)).toBe(joinedState);
    expect(await machine.shell('tulle check -o short')).toEqual({
      code: 0,
      out: 'Status check results are √\n',
      error: '',
    });

    // A captured connection alone would start the proxy again.
    await machine.shell("systemctl stop 'tulle-proxy*'");
    const stopped = await machine.shell('tulle check -o json');
    expect(stopped.code).toBe(1);
    const failed = JSON.parse(stopped.out).categories.flatMap((one: { checks: { result: string }[] }) =>
      one.checks.filter(({ result }) => result === 'error'),
    );
    expect(failed).toEqual(
      expect.arrayContaining([
        expect.objectContaining({
          error: 'it is inactive',
          hint: expect.stringContaining('systemctl start tulle-proxy.service'),
        }),
        expect.objectContaining({ error: 'it does not answer' }),
      ]),
    );

    await mesh.stopControl();
    await machine.crash();
    await machine.boot();
    expect(await machine.shell('systemctl is-active tulle-proxy app')).toMatchObject({ out: 'active\nactive\n' });
    const order = await machine.shell('systemctl show -p ActiveEnterTimestampMonotonic --value tulle-proxy app');
    const [proxyReady, appStarted] = order.out.trim().split(/\s+/).map(Number);
    expect(proxyReady).toBeLessThan(appStarted!);
    const alone = await machine.shell('tulle check -o short');
    expect(alone).toMatchObject({
      code: 1,
      out: expect.stringContaining(`${mesh.url} cannot be reached`),
    });

    const left = await machine.shell('tulle leave');
    expect(left).toMatchObject({ code: 0, error: expect.stringContaining('not deregistered') });
    expect(await stateOf(machine)).toBe(before);
    expect(await machine.shell('systemctl is-active app')).toMatchObject({ out: 'active\n' });
    await mesh.startControl();
  });

  it.each(['node', 'bun', 'deno'] as const)('joins in bash with the package, on %s', async (runtime) => {
    const machine = await boot();
    const binary = { node: nodeBinary(), bun: bunBinary(), deno: denoBinary() }[runtime];
    await machine.shell(`cp ${binary} /usr/local/bin/${runtime}`);
    const before = await stateOf(machine);
    const joined = await machine.shell(await invite('--service-account', 'reviews'), 'bash');
    expect(joined, joined.error).toMatchObject({ code: 0, out: '' });
    const running = await machine.shell('readlink /proc/$(systemctl show -p MainPID --value tulle-proxy)/exe');
    expect(running.out.trim()).toBe(`/usr/local/bin/${runtime}`);
    expect(await machine.shell('tulle check -o short')).toMatchObject({ code: 0 });
    expect(await machine.shell('tulle leave')).toMatchObject({ code: 0 });
    expect(await stateOf(machine)).toBe(before);
  });

  it.each(['the executable', 'the package on node'])('runs a command with the proxy, by %s', async (what) => {
    const machine = await boot();
    if (what.endsWith('node')) await machine.shell(`cp ${nodeBinary()} /usr/local/bin/node`);
    const before = await stateOf(machine);
    const call = `curl -sk -o /dev/null -w '%{http_code}\\n' ${mesh.url}/v1/trust-bundle`;
    await machine.shell(`cat >/run/app <<'END'
${call}
tulle check -o short
ps -eo user=,args= | grep -e '[-]-interception-mode' | cut -d ' ' -f 1
exit 7
END`);
    const joined = await machine.shell(`${await invite('--service-account', 'reviews')} -- sh /run/app`);
    expect(joined, joined.error).toMatchObject({ code: 7, out: '200\nStatus check results are √\ntulle\n' });
    // As a container that is started again, whose proxy is that of the machine that has joined.
    expect(await machine.shell('tulle join -- sh /run/app')).toMatchObject({ code: 7, out: joined.out });
    expect(await machine.shell('tulle leave')).toMatchObject({ code: 0 });
    expect(await stateOf(machine)).toBe(before);
  });

  it('refuses in one line what cannot join, and leaves nothing behind', async () => {
    const machine = await boot();
    const before = await stateOf(machine);
    const refused = async (line: string) => {
      const { code, error } = await machine.shell(line);
      expect(code).toBe(1);
      expect(await stateOf(machine)).toBe(before);
      return error.trimEnd().split('\n').at(-1)!;
    };
    const line = await invite('--service-account', 'reviews');
    const given = invitationIn(line);
    const fields = parseInvitation(given);

    const otherRoot = formatInvitation({ ...fields, rootHash: '00'.repeat(32) });
    expect(await refused(line.replace(given, otherRoot))).toMatch(/another root certificate than the invitation names/);
    expect((await tokensOf()).find(({ id }) => fields.token.includes(id))!.state).toBe('unused');

    const unreachable = formatInvitation({ ...fields, controlPlanes: ['https://127.0.0.1:9'] });
    expect(await refused(line.replace(given, unreachable))).toMatch(/cannot be reached.*check that it runs/);
    expect(await refused(line.replace(given, given.slice(0, -9)))).toMatch(/is damaged; copy the whole line/);
    expect(await refused(line.replace(/echo "[0-9a-f]{8}/, 'echo "00000000'))).toMatch(
      /checksum did NOT match|join.sh: FAILED/,
    );
    expect(await refused(`${line} -- none.service`)).toMatch(/there is no unit none.service/);
    // The join that failed after it had its certificate used the invitation up.
    expect(await refused(line)).toMatch(/refused the join: .*make another invitation/);
    await machine.shell(
      'python3 -m http.server 15000 --bind 127.0.0.1 >/dev/null 2>&1 & sleep 0.1; echo $! >/run/blocker',
    );
    await until('the port is taken', async () => (await machine.shell('ss -Hltn sport = :15000')).out !== '');
    expect(await refused(await invite('--service-account', 'reviews'))).toMatch(
      /\(process \d+\) listens on it; stop that program/,
    );
    await machine.shell('kill $(cat /run/blocker)');
  });

  /** The command lines of all processes of a machine while a join runs there. */
  async function watchArguments(machine: TestMachine): Promise<string[]> {
    const seen = new Set<string>();
    await until('the machine has joined', async () => {
      const { out } = await machine.run(['ps', '-eo', 'args']);
      for (const words of out.split('\n')) seen.add(words);
      return (await machine.run(['systemctl', 'is-active', 'tulle-proxy'])).out === 'active\n';
    });
    return [...seen];
  }
});
