/** Machines with a real systemd join a mesh by the line that `tulle invite` prints, and leave it. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bunBinary, denoBinary, nodeBinary } from '../../control/cli/runtimes.mjs';
import { buildPackage } from '../../deploy/build.ts';
import { buildInstallFiles } from '../../deploy/install-files.ts';
import { formatInvitation, parseInvitation } from '../../shared/join/invitation.ts';
import { tulle, tulleCommand } from '../kit/command.ts';
import { temporaryFolder } from '../kit/environment.ts';
import { HOSTS, TestNetwork } from '../kit/hosts.ts';
import { MACHINES, TestMachine } from '../kit/machines.ts';
import { Program } from '../kit/process.ts';
import { until } from '../kit/waiting.ts';

const GROUP = `
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: { name: reviews, namespace: default }
spec:
  metadata: { labels: { app: reviews } }
  template: { serviceAccount: reviews, ports: { http: 9080 } }
`;

describe.skipIf(!HOSTS || !MACHINES)('a machine', () => {
  const temporary = temporaryFolder();
  const network = new TestNetwork();
  const controlHost = network.add();
  const machines: TestMachine[] = [];
  let control: Program;
  let server: string[];

  beforeAll(async () => {
    const folder = join(temporary.path, 'package');
    await buildPackage(folder, false);
    buildInstallFiles(folder, '0', () => {}, ['linux-x64']);
    const { url, adminToken } = await startControl();
    server = ['--server', url, '--token', adminToken, '--ca-file', join(temporary.path, 'data/ca/root-cert.pem')];
    expect(await admin(['apply', '-f', '-'], GROUP)).toMatchObject({ code: 0 });
  });
  afterAll(async () => {
    for (const machine of machines) await machine.close();
    await control?.stop();
    network.close();
    temporary.dispose();
  });

  async function startControl() {
    const install = join(temporary.path, 'package/install');
    const where = ['--data', join(temporary.path, 'data'), '--address', controlHost.address, '--port', '15012'];
    const command = tulleCommand('control', ...where, '--install-files', install, '--announce');
    control = new Program('control', controlHost.run(command));
    return control.announcement<{ url: string; adminToken: string }>();
  }
  const admin = (args: string[], input?: string) => tulle([...args, ...server], { ...(input && { input }) });
  const invite = async (...flags: string[]): Promise<string> => {
    const { code, out, error } = await admin(['invite', ...flags]);
    expect({ code, error }).toMatchObject({ code: 0 });
    expect(out.trimEnd().split('\n')).toHaveLength(1);
    return out.trimEnd();
  };
  const boot = async (): Promise<TestMachine> => {
    const machine = new TestMachine(network.add());
    machines.push(machine);
    await machine.boot();
    await machine.shell(`ip route add default via ${network.address}`);
    return machine;
  };
  /** What a join may change. */
  const stateOf = async (machine: TestMachine) =>
    (
      await machine.shell(
        'nft list ruleset; ip rule; ip -6 rule; ip route; ip addr show lo; cat /etc/resolv.conf /etc/passwd; ls -R /etc/systemd /etc/tulle /var/lib/tulle /usr/local 2>&1; ls -A /tmp',
      )
    ).out;

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

    await control.stop();
    await machine.crash();
    await machine.boot();
    expect(await machine.shell('systemctl is-active tulle-proxy app')).toMatchObject({ out: 'active\nactive\n' });
    const order = await machine.shell('systemctl show -p ActiveEnterTimestampMonotonic --value tulle-proxy app');
    const [proxyReady, appStarted] = order.out.trim().split(/\s+/).map(Number);
    expect(proxyReady).toBeLessThan(appStarted!);
    const alone = await machine.shell('tulle check -o short');
    expect(alone).toMatchObject({
      code: 1,
      out: expect.stringContaining(`https://${controlHost.address}:15012 cannot be reached`),
    });

    const left = await machine.shell('tulle leave');
    expect(left).toMatchObject({ code: 0, error: expect.stringContaining('not deregistered') });
    expect(await stateOf(machine)).toBe(before);
    expect(await machine.shell('systemctl is-active app')).toMatchObject({ out: 'active\n' });
    await startControl();
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
