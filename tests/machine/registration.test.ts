/** Machines of a WorkloadGroup on hosts of their own: joined, registered, probed, moved, refused, drained and forgotten. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ControlApi } from '../../control/cli/connection.ts';
import { nodeBinary, proxyCommand } from '../../control/cli/runtimes.mjs';
import { createCsr } from '../../shared/identity/csr.ts';
import { generateKeys } from '../../shared/identity/keys.ts';
import type { JoinAnswer } from '../../shared/join/join-protocol.ts';
import type { Resource } from '../../shared/resources/resource.ts';
import { ROOT, RUNTIMES, temporaryFolder } from '../kit/environment.ts';
import { HOSTS, type TestHost, TestNetwork } from '../kit/hosts.ts';
import { outputOf, Program, run } from '../kit/process.ts';
import { until } from '../kit/waiting.ts';

const PORT = 8080;
const APP_PORT = 9090;
const NETWORKING = '/apis/networking.istio.io/v1/namespaces/default';
const GROUP = {
  apiVersion: 'networking.istio.io/v1',
  kind: 'WorkloadGroup',
  metadata: { name: 'web', namespace: 'default' },
  spec: {
    metadata: { labels: { app: 'web' } },
    template: { serviceAccount: 'web' },
    probe: { httpGet: { port: APP_PORT }, periodSeconds: 1, failureThreshold: 1 },
  },
};
const SERVICE = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'web', namespace: 'default' },
  spec: { selector: { app: 'web' }, ports: [{ name: 'http', port: PORT, targetPort: PORT }] },
};

describe.skipIf(!HOSTS).each(RUNTIMES)('machines with %s proxies', (runtime) => {
  const folder = temporaryFolder();
  const programs: Program[] = [];
  let network: TestNetwork;
  let api: ControlApi;
  let url: string;
  let token: string;
  let [front, first, second]: TestHost[] = [];

  const launch = (name: string, command: readonly string[], env: Record<string, string> = {}) => {
    const program = new Program(name, command, { env: { TULLE_HOST_WAIT_MS: '30000', ...env } });
    programs.push(program);
    return program;
  };
  const app = (host: TestHost, text: string) =>
    launch(
      `app ${text}`,
      host.run([
        nodeBinary(),
        '-e',
        `require('http').createServer((_, a) => a.end('${text}')).listen(${APP_PORT}, '127.0.0.1', () => console.log('{}'))`,
      ]),
    );
  const proxy = (name: string, host: TestHost, account: string, joinToken: string, ...more: string[]) => {
    const flags = [
      '--control-plane',
      url,
      '--trust-bundle',
      join(folder.path, 'control/ca/root-cert.pem'),
      '--announce',
    ];
    const own = [
      '--data',
      join(folder.path, name),
      '--name',
      name,
      '--service-account',
      account,
      '--outbound-bind',
      '127.0.0.1',
    ];
    return launch(name, host.run([...proxyCommand(runtime), ...flags, ...own, ...more]), {
      TULLE_JOIN_TOKEN: joinToken,
    });
  };
  const machine = (name: string, host: TestHost, ...more: string[]) =>
    proxy(
      name,
      host,
      'web',
      token,
      '--group',
      'web',
      '--app-port',
      `http=${APP_PORT}`,
      ...(more.length > 0 ? more : ['--ip', 'auto']),
    );
  const entries = async () => {
    const { items } = await api.call<{ items: Resource[] }>('GET', `${NETWORKING}/workloadentries`);
    return items;
  };
  const names = async () => (await entries()).map(({ metadata }) => metadata.name).sort();
  /** What a caller on a host of its own is answered: the status, and the text of the application. */
  const call = async () => {
    const [command = '', ...words] = front!.run([
      ...['curl', '-s', '-m', '10', '-w', ' %{http_code}', '-H', `host: web.default.svc.cluster.local:${PORT}`],
      `http://127.0.0.1:${PORT}/`,
    ]);
    return (await run(command, words)).out;
  };

  beforeAll(async () => {
    network = new TestNetwork();
    const node = [nodeBinary(), '--disable-warning=ExperimentalWarning', join(ROOT, 'control/cli/main.ts'), 'control'];
    const flags = ['--data', join(folder.path, 'control'), '--port', '0', '--address', network.address, '--announce'];
    const control = launch('control', [...node, ...flags, '--workload-cleanup-seconds', '2']);
    const ready = await control.announcement<{ port: number; adminToken: string; trustBundle: string }>();
    url = `https://${network.address}:${ready.port}`;
    api = new ControlApi(url, ready.adminToken, ready.trustBundle);
    await api.call('POST', `${NETWORKING}/workloadgroups`, GROUP);
    await api.call('POST', '/api/v1/namespaces/default/services', SERVICE);
    [front, first, second] = [network.add(), network.add(), network.add()];
    const invited = await api.call<{ token: string }>('POST', '/v1/invitations', {
      namespace: 'default',
      group: 'web',
      uses: 4,
    });
    token = invited.token;
    const caller = await api.call<{ token: string }>('POST', '/v1/join-tokens', {
      namespace: 'default',
      serviceAccount: 'front',
    });
    await proxy('front', front, 'front', caller.token, '--ip', front.address).announcement();
  });
  afterAll(async () => {
    await Promise.all(programs.map((program) => program.stop()));
    network?.close();
    folder.dispose();
  });

  it('a request to join is answered with what the machine is', async () => {
    const csr = await createCsr(await generateKeys());
    const answer = await api.call<JoinAnswer>('POST', '/v1/join', { csr, evidence: { kind: 'token', token } });
    expect(answer).toMatchObject({
      spiffeId: 'spiffe://cluster.local/ns/default/sa/web',
      group: 'web',
      labels: { app: 'web' },
      controlPlanes: [url],
    });
  });

  it('a machine registers, and its probe takes it in and out', async () => {
    await machine('first', first!).announcement();
    await until('the machine is registered', async () => (await names()).join() === `web-${first!.address}`);
    const [entry] = await entries();
    expect(entry!.spec).toEqual({ address: first!.address, labels: { app: 'web' }, serviceAccount: 'web' });
    expect(await call()).toMatch(/ 503$/);
    const application = app(first!, 'first');
    await until('the probe takes it in', async () => (await call()) === 'first 200');
    await application.stop();
    await until('the probe takes it out', async () => / 503$/.test(await call()));
    app(first!, 'first');
    await until('the probe takes it in again', async () => (await call()) === 'first 200');
  });

  it('a second machine of its address is refused, and reported at both', async () => {
    const twin = machine('twin', second!, '--ip', first!.address);
    await until('the twin is refused', () =>
      twin.lines.some((line) => line.includes(`another machine of WorkloadEntry default/web-${first!.address}`)),
    );
    const { proxies } = await api.call<{ proxies: { id: string; notes: string[] }[] }>('GET', '/v1/proxies');
    const holder = proxies.find(({ id }) => id.includes('~first.'));
    expect(holder?.notes.join()).toContain(`claims its address ${first!.address}`);
    await until('the conflict is on the entry', async () =>
      JSON.stringify((await entries())[0]!.status).includes('AddressConflict'),
    );
    await twin.stop();
    expect(await names()).toEqual([`web-${first!.address}`]);
  });

  it('an entry moves with the address of its machine, without a restart', async () => {
    const [command = '', ...show] = first!.run(['ip', '-j', '-4', 'addr', 'show', 'scope', 'global']);
    const [{ ifname }] = JSON.parse(outputOf(command, show)) as [{ ifname: string }];
    const moved = first!.address.replace(/\.\d+$/, '.77');
    for (const change of [
      ['del', `${first!.address}/24`],
      ['add', `${moved}/24`],
    ])
      outputOf(command, first!.run(['ip', 'addr', ...change, 'dev', ifname]).slice(1));
    await until('the entry has moved', async () => (await names()).join() === `web-${moved}`);
    await until('the moved machine answers', async () => (await call()) === 'first 200');
  });

  it('a proxy that stops is called no more before it drains, and one that is killed is forgotten', async () => {
    app(second!, 'second');
    const other = machine('other', second!);
    await other.announcement();
    await until('the second machine answers', async () => (await call()) === 'second 200');
    const stopping = programs.find(({ name }) => name === 'first')!;
    let ended = false;
    const stopped = stopping.stop().then(() => {
      ended = true;
    });
    const answers: string[] = [];
    let left: string[] | undefined;
    while (!ended) {
      answers.push(await call());
      if (!ended) left = await names();
    }
    await stopped;
    expect(left).toEqual([`web-${second!.address}`]);
    expect(new Set(answers.map((answer) => answer.slice(-3)))).toEqual(new Set(['200']));
    expect(answers.at(-1)).toBe('second 200');
    other.process.kill('SIGKILL');
    await until('the killed machine is forgotten', async () => (await names()).length === 0);
  });
});
