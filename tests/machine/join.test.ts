/** Machines with a real systemd join a mesh by the line that `tulle invite` prints, and leave it. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildPackage } from '../../deploy/build.ts';
import { buildInstallFiles } from '../../deploy/install-files.ts';
import { tulle, tulleCommand } from '../kit/command.ts';
import { temporaryFolder } from '../kit/environment.ts';
import { HOSTS, TestNetwork } from '../kit/hosts.ts';
import { MACHINES, TestMachine } from '../kit/machines.ts';
import { Program } from '../kit/process.ts';

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
    control = new Program('control', controlHost.run(controlCommand(folder)));
    const { url, adminToken } = await control.announcement<{ url: string; adminToken: string }>();
    server = ['--server', url, '--token', adminToken, '--ca-file', join(temporary.path, 'data/ca/root-cert.pem')];
    expect(await admin(['apply', '-f', '-'], GROUP)).toMatchObject({ code: 0 });
  });
  afterAll(async () => {
    for (const machine of machines) await machine.close();
    await control?.stop();
    network.close();
    temporary.dispose();
  });

  const controlCommand = (folder: string) =>
    tulleCommand(
      ...['control', '--data', join(temporary.path, 'data'), '--address', controlHost.address, '--port', '15012'],
      ...['--install-files', join(folder, 'install'), '--announce'],
    );
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
    return machine;
  };
  /** What a join may change. */
  const stateOf = async (machine: TestMachine) =>
    (
      await machine.shell(
        'nft list ruleset; ip rule; cat /etc/resolv.conf /etc/passwd; ls -R /etc/systemd /etc/tulle /var/lib/tulle /usr/local 2>&1; ls -A /tmp',
      )
    ).out;

  it('joins with the printed line in sh, comes back after a reboot without control plane, and leaves', async () => {
    const machine = await boot();
    const before = await stateOf(machine);
    const line = await invite('--service-account', 'reviews');
    const begun = Date.now();
    const joined = await machine.shell(line);
    console.log(Date.now() - begun, joined.error);
    expect(joined).toMatchObject({ code: 0, out: '' });
    expect(joined.error).toContain('spiffe://cluster.local/ns/default/sa/reviews');
    expect(await machine.shell('systemctl is-active tulle-proxy')).toMatchObject({ out: 'active\n' });
    const left = await machine.shell('tulle leave');
    console.log(left.error);
    expect(left).toMatchObject({ code: 0 });
    expect(await stateOf(machine)).toBe(before);
  });
});
