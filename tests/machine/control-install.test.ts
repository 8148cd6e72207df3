/** The control plane as a service of a machine: installed, there after a reboot, and removed without a trace. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildExecutable } from '../../deploy/executable.ts';
import { temporaryFolder } from '../kit/environment.ts';
import { HOSTS, TestNetwork } from '../kit/hosts.ts';
import { MACHINES, TestMachine } from '../kit/machines.ts';
import { run } from '../kit/process.ts';
import { until } from '../kit/waiting.ts';

const STATE = 'cat /etc/passwd; ls -R /etc/systemd/system; ls /var/lib';

describe.skipIf(!HOSTS || !MACHINES)('tulle control install', () => {
  const folder = temporaryFolder();
  const network = new TestNetwork();
  const machine = new TestMachine(network.add());
  const shell = async (line: string) => {
    const ran = await machine.shell(line);
    expect({ line, code: ran.code, error: ran.error }).toMatchObject({ code: 0 });
    return ran.out;
  };
  const namespaces = () => machine.shell('tulle get namespaces -o name');

  beforeAll(async () => {
    const executable = join(folder.path, 'tulle');
    buildExecutable('linux-x64', executable);
    await machine.boot();
    const place = ['sh', '-c', 'cat > /usr/local/bin/tulle && chmod 755 /usr/local/bin/tulle'];
    expect(await machine.run(place, { input: readFileSync(executable) })).toMatchObject({ code: 0 });
  });
  afterAll(async () => {
    await machine.close();
    network.close();
    folder.dispose();
  });

  it('starts it with a certificate of all addresses, as a user of its own, and writes a kubeconfig', async () => {
    const token = (await shell('tulle control install --server-name mesh.example')).trim();
    expect(token).toMatch(/^tulle_[\w-]+$/);
    expect((await namespaces()).out).toContain('namespace/default');
    expect((await shell('ps -o user= -C tulle | sort -u')).trim()).toMatch(/^tulle/);
    const root = join(folder.path, 'root.pem');
    await run('sh', ['-c', `cat > ${root}`], { input: await shell('cat /var/lib/tulle-control/ca/root-cert.pem') });
    for (const host of [machine.address, 'mesh.example']) {
      const call = ['-sS', '--cacert', root, '--connect-to', `mesh.example:15012:${machine.address}:15012`];
      const answer = await run('curl', [...call, '-w', '%{http_code}', `https://${host}:15012/readyz`]);
      expect(answer.out).toMatch(/200$/);
    }
  });

  it('is there after a reboot, with its data', async () => {
    await shell('printf "apiVersion: v1\\nkind: Namespace\\nmetadata: {name: shop}\\n" | tulle apply -f -');
    await machine.crash();
    await machine.boot();
    await until('the control plane answers', async () => (await namespaces()).out.includes('namespace/shop'));
  });

  it('a second install changes nothing that would lose data', async () => {
    await machine.shell('tulle control install');
    await until('the control plane answers', async () => (await namespaces()).out.includes('namespace/shop'));
  });

  it('uninstall leaves the machine as it was', async () => {
    await shell('tulle control uninstall --delete-data');
    expect(await shell(STATE)).not.toContain('tulle-control');
  });
});
