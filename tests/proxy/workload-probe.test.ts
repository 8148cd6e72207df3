/** A WorkloadGroup's probe: a workload that fails it leaves the endpoints of its service, and comes back. */
import { readFile, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import https from 'node:https';
import net, { type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GrpcHealthServer } from '../grpc-health-server.ts';
import { RUNTIMES, temporaryFolder } from '../kit/environment.ts';
import { LoopbackMesh } from '../kit/mesh.ts';
import { meshService, workloadEntry, yaml } from '../kit/resources.ts';
import { until } from '../kit/waiting.ts';
import { serverLeaf } from '../mtls/certificates.ts';

interface Conditions {
  readonly status?: { readonly conditions?: readonly { type: string; status: string; message: string }[] };
}

const group = (name: string, probe: object) => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'WorkloadGroup',
  metadata: { name, namespace: 'default' },
  spec: { template: { serviceAccount: name, labels: { app: name } }, probe },
});

const folder = temporaryFolder();

describe.each(RUNTIMES)('the probe of a workload on %s', (runtime) => {
  const mesh = new LoopbackMesh();
  /** The application, and what its probe is answered. */
  const ready = { status: 200, probed: 0 };
  const app = http.createServer((request, answer) => {
    if (request.url !== '/ready') return void answer.end('web');
    ready.probed++;
    answer.writeHead(request.headers['x-probe'] === 'yes' ? ready.status : 400).end();
  });
  const grpc = new GrpcHealthServer();
  const viaProxy = () =>
    new Promise<number>((resolve) => {
      const { httpProxyPort } = mesh.workloads.get('caller')!;
      const request = http.get({
        host: '127.0.0.1',
        port: httpProxyPort,
        path: 'http://web.default.svc.cluster.local:9080/',
        headers: { host: 'web.default.svc.cluster.local:9080' },
        agent: false,
      });
      request.on('response', (answer) => {
        answer.resume();
        resolve(answer.statusCode ?? 0);
      });
      request.on('error', () => resolve(0));
    });
  const condition = async (name = 'web') => {
    const at = `/apis/networking.istio.io/v1/namespaces/default/workloadentries/${name}`;
    const { status } = await mesh.api.call<Conditions>('GET', at);
    return status?.conditions?.find(({ type }) => type === 'Healthy')?.status;
  };

  beforeAll(async () => {
    await new Promise<void>((done) => app.listen(0, '127.0.0.1', done));
    const { port } = app.address() as AddressInfo;
    await mesh.startControl();
    const address = mesh.address();
    const probe = {
      httpGet: { port, path: '/ready', httpHeaders: [{ name: 'x-probe', value: 'yes' }] },
      periodSeconds: 1,
      failureThreshold: 2,
    };
    await mesh.apply(yaml(meshService('web'), workloadEntry('web', address), group('web', probe)));
    const of = (name: string) => ({ name, serviceAccount: name, labels: { app: name }, runtime });
    await mesh.start({ ...of('web'), flags: ['--app-port', `http=${port}`] }, address);
    await mesh.start(of('caller'));
    await until('the caller reaches it', async () => (await viaProxy()) === 200);
  });
  afterAll(async () => {
    await mesh.stop();
    app.close();
    await grpc.stop();
  });

  it('a workload that fails it gets no requests, and gets them again', async () => {
    await until('it is healthy', async () => (await condition()) === 'True');
    ready.status = 503;
    await until('it is unhealthy', async () => (await condition()) === 'False');
    await until('no request reaches it', async () => (await viaProxy()) === 503);
    await mesh.workloads.get('web')!.proxy.line((line) => (line.includes('workload is unhealthy') ? line : undefined));
    ready.status = 204;
    await until('it is healthy again', async () => (await condition()) === 'True');
    await until('requests reach it', async () => (await viaProxy()) === 200);
    expect(ready.probed).toBeGreaterThan(3);
  });

  it('over gRPC, and by a connection alone', async () => {
    await grpc.start('127.0.0.1');
    const tcp = net.createServer((socket) => socket.on('error', () => {}).end());
    await new Promise<void>((done) => tcp.listen(0, '127.0.0.1', done));
    const { port } = tcp.address() as net.AddressInfo;
    const often = { periodSeconds: 1, failureThreshold: 1 };
    const rpc = group('rpc', { grpc: { port: grpc.port, service: 'shop.Web' }, ...often });
    const raw = group('raw', { tcpSocket: { port }, ...often });
    const [one, two] = [mesh.address(), mesh.address()];
    await mesh.apply(yaml(workloadEntry('rpc', one), workloadEntry('raw', two), rpc, raw));
    const of = (name: string) => ({ name, serviceAccount: name, labels: { app: name }, runtime });
    await Promise.all([mesh.start(of('rpc'), one), mesh.start(of('raw'), two)]);
    for (const name of ['rpc', 'raw'])
      await until(`${name} is healthy`, async () => (await condition(name)) === 'True');
    grpc.behaviour = 'NOT_SERVING';
    tcp.close();
    for (const name of ['rpc', 'raw'])
      await until(`${name} is unhealthy`, async () => (await condition(name)) === 'False');
  });

  it('by a command: its exit code, its output in the log, and its end after the time', async () => {
    const file = join(folder.path, `ready-${runtime}`);
    const pids = join(folder.path, `pids-${runtime}`);
    await writeFile(file, '');
    const script = `test -e ${file} || { echo "no ready file" >&2; exit 3; }; test -s ${file} || exit 0; echo $$ >> ${pids}; sleep 600 & wait`;
    const command = group('cmd', { exec: { command: ['sh', '-c', script] }, periodSeconds: 1, failureThreshold: 1 });
    const address = mesh.address();
    await mesh.apply(yaml(workloadEntry('cmd', address), command));
    await mesh.start({ name: 'cmd', serviceAccount: 'cmd', labels: { app: 'cmd' }, runtime }, address);
    const becomes = (status: string) => until(`it is ${status}`, async () => (await condition('cmd')) === status);
    const { proxy } = mesh.workloads.get('cmd')!;
    const logged = (text: string) => proxy.line((line) => (line.includes(text) ? line : undefined));
    await becomes('True');
    await rm(file);
    await becomes('False');
    await logged('workload is unhealthy: exit code 3: no ready file');
    await writeFile(file, '');
    await becomes('True');
    await writeFile(file, 'wait');
    await becomes('False');
    await logged('workload is unhealthy: the command takes longer than timeoutSeconds');
    await writeFile(file, '');
    await becomes('True');
    const started = (await readFile(pids, 'utf8')).trim().split('\n');
    expect(started.length).toBeGreaterThan(0);
    // No group is left, so that neither is what the command itself started.
    for (const pid of started) await until(`the processes of ${pid} have ended`, () => !isGroup(Number(pid)));
  });

  it('over HTTPS, whatever the certificate', async () => {
    const answers = { status: 200 };
    const leaf = await serverLeaf('P-256', ['elsewhere.example']);
    const secure = https.createServer(leaf, (_, answer) => {
      answer.writeHead(answers.status).end();
    });
    await new Promise<void>((done) => secure.listen(0, '127.0.0.1', done));
    const { port } = secure.address() as AddressInfo;
    const probe = { httpGet: { port, path: '/ready', scheme: 'HTTPS' }, periodSeconds: 1, failureThreshold: 1 };
    const address = mesh.address();
    await mesh.apply(yaml(workloadEntry('tls', address), group('tls', probe)));
    await mesh.start({ name: 'tls', serviceAccount: 'tls', labels: { app: 'tls' }, runtime }, address);
    try {
      await until('it is healthy', async () => (await condition('tls')) === 'True');
      answers.status = 500;
      await until('it is unhealthy', async () => (await condition('tls')) === 'False');
    } finally {
      secure.close();
      secure.closeAllConnections();
    }
  });
});

/** Whether a process of the group lives. */
function isGroup(id: number): boolean {
  try {
    return process.kill(-id, 0);
  } catch {
    return false;
  }
}
