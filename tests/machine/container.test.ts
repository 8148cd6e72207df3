/** Sidecars of `tulle inject compose`, as containers of the image from scratch, with applications in their networks. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildImage } from '../../deploy/container/image.ts';
import { buildExecutable } from '../../deploy/executable.ts';
import { injectCompose } from '../../machine/inject/compose.ts';
import { tulle, tulleCommand } from '../kit/command.ts';
import { CONTAINERS, type Container, ContainerNetwork } from '../kit/containers.ts';
import { ROOT, temporaryFolder } from '../kit/environment.ts';
import { outputOf, Program, run, runSync } from '../kit/process.ts';
import { until } from '../kit/waiting.ts';

const MESH = `
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: { name: reviews, namespace: default }
spec: { metadata: { labels: { app: reviews } }, template: { serviceAccount: reviews, ports: { http: 9080 } } }
---
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: { name: caller, namespace: default }
spec: { metadata: { labels: { app: caller } }, template: { serviceAccount: caller, ports: { http: 9081 } } }
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: reviews, namespace: default }
spec:
  hosts: [reviews.default.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{ number: 9080, name: http, protocol: HTTP }]
  workloadSelector: { labels: { app: reviews } }
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: { name: default, namespace: istio-system }
spec: { mtls: { mode: STRICT } }
`;
const read = (name: string) => readFileSync(join(ROOT, 'deploy/container', name), 'utf8');

it('the example in deploy/container is what tulle inject makes of its applications', () => {
  const made = injectCompose(read('applications.yaml'), { image: 'tulle:0.1.0', only: [], capture: true });
  const services = (text: string) => text.slice(text.indexOf('services:'));
  expect(services(read('compose.yaml'))).toBe(services(made));
});

describe.skipIf(!CONTAINERS)('sidecar containers', () => {
  const folder = temporaryFolder();
  const image = `tulle-test:${process.pid}`;
  let network: ContainerNetwork;
  let control: Program;
  let application: Program;
  let server: string[];
  let compose: string;
  let reviews: Container;
  let caller: Container;

  const admin = async (args: string[], input?: string) => {
    const { code, out, error } = await tulle([...args, ...server], { ...(input && { input }) });
    expect({ code, error }).toMatchObject({ code: 0 });
    return out;
  };
  /** The machine's own resolv.conf names resolvers that the containers' network may not reach. */
  const call = (url: string) => {
    const resolved = 'mount --bind "$0" /etc/resolv.conf && exec curl -sS -m 10 "$1"';
    const [program, ...args] = caller.beside([
      'unshare',
      '--mount',
      'sh',
      '-c',
      resolved,
      join(folder.path, 'resolv'),
      url,
    ]);
    return run(program!, args);
  };

  beforeAll(async () => {
    const executable = join(folder.path, 'tulle');
    buildExecutable('linux-x64', executable);
    buildImage(executable, image);
    network = new ContainerNetwork();
    const where = [
      '--data',
      join(folder.path, 'data'),
      '--address',
      '0.0.0.0',
      '--port',
      '0',
      '--advertise',
      network.gateway,
    ];
    control = new Program('control', tulleCommand('control', ...where, '--announce'));
    const { url, adminToken } = await control.announcement<{ url: string; adminToken: string }>();
    const local = `https://127.0.0.1:${new URL(url).port}`;
    server = ['--server', local, '--token', adminToken, '--ca-file', join(folder.path, 'data/ca/root-cert.pem')];
    await admin(['apply', '-f', '-'], MESH);
    for (const group of ['reviews', 'caller']) {
      const line = await admin(['invite', '--group', group, '-n', 'default', '--installed']);
      writeFileSync(join(folder.path, `${group}.invitation`), /tulle-join\.[\w-]+/.exec(line)![0], { mode: 0o600 });
    }
    compose = injectCompose(read('applications.yaml'), { image, only: [], capture: true });
    reviews = network.start(compose, 'reviews-tulle', folder.path);
    caller = network.start(compose, 'caller-tulle', folder.path);
    await until('both sidecars are healthy', async () => (await reviews.isHealthy()) && (await caller.isHealthy()));
    writeFileSync(join(folder.path, 'resolv'), `nameserver ${network.gateway}\n`);
    writeFileSync(join(folder.path, 'index.html'), 'reviews of the application\n');
    application = new Program(
      'application',
      reviews.beside(['python3', '-m', 'http.server', '9080', '--directory', folder.path]),
    );
    await until('the application answers', async () => (await call('http://reviews:9080/index.html')).code === 0);
  });
  afterAll(async () => {
    await application?.stop();
    network?.close();
    await control?.stop();
    runSync('buildah', ['rmi', '--force', image]);
    folder.dispose();
  });

  it('are smaller than 120 MB, and run their proxy without rights', async () => {
    const size = Number(outputOf('podman', ['image', 'inspect', '--format', '{{.Size}}', image]).trim());
    expect(size).toBeLessThan(120e6);
    const status = (await run('sh', ['-c', 'cat /proc/$(pgrep -n -f "^/tulle proxy")/status'])).out;
    expect(status).toMatch(/^Uid:\s+1337\s/m);
    expect(status).toMatch(/^CapEff:\s+0+$/m);
    expect(status).toMatch(/^NoNewPrivs:\s+1$/m);
  });

  it('register their workloads, which call each other by name', async () => {
    const entries = JSON.parse(await admin(['get', 'workloadentries', '-o', 'json'])) as {
      items: { spec: { address: string } }[];
    };
    expect(entries.items.map(({ spec }) => spec.address).sort()).toEqual([reviews.address, caller.address].sort());
    for (const host of ['reviews', 'reviews.default.svc.cluster.local'])
      expect(await call(`http://${host}:9080/index.html`)).toMatchObject({ out: 'reviews of the application\n' });
  });

  it('refuse a client without a certificate', async () => {
    const bare = await run('curl', ['-sS', '-m', '10', `http://${reviews.address}:9080/index.html`]);
    expect(bare).toMatchObject({ out: '' });
    expect(bare.code).not.toBe(0);
  });

  it('restart with what they keep in their volumes, and end in order', async () => {
    const { code, log } = await caller.stop();
    expect({ code, log: log.includes('EPERM') }).toEqual({ code: 0, log: false });
    await until('the entry is gone', async () => !(await admin(['get', 'workloadentries'])).includes('caller-'));
    await caller.restart();
    await until('it is healthy again', () => caller.isHealthy());
    expect(await call('http://reviews:9080/index.html')).toMatchObject({ out: 'reviews of the application\n' });
  });
});
