/** WasmPlugin and TrafficExtension in a running mesh: what their fail strategy does while modules are not run. */
import net from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ROOT, RUNTIMES } from '../kit/environment.ts';
import { LoopbackMesh } from '../kit/mesh.ts';
import { ACCESS_LOGS, meshService, port, workloadEntry, yaml } from '../kit/resources.ts';
import { until } from '../kit/waiting.ts';

const ECHO = join(ROOT, 'tests/e2e/echo.ts');
const PORTS = [port(9080), port(9090, 'TCP')];

interface Conditions {
  readonly status?: { readonly conditions?: readonly { type: string; status: string; message: string }[] };
}

const wasmPlugin = (spec: object) => ({
  apiVersion: 'extensions.istio.io/v1alpha1',
  kind: 'WasmPlugin',
  metadata: { name: 'check', namespace: 'default' },
  spec: { url: 'oci://example.com/check:1', phase: 'AUTHN', selector: { matchLabels: { app: 'echo' } }, ...spec },
});
const trafficExtension = (wasm: object, match: object[] = []) => ({
  apiVersion: 'extensions.istio.io/v1alpha1',
  kind: 'TrafficExtension',
  metadata: { name: 'guard', namespace: 'default' },
  spec: { match, wasm: { url: 'file:///opt/guard.wasm', ...wasm } },
});

describe.each(RUNTIMES)('plugins that cannot run on %s', (runtime) => {
  const mesh = new LoopbackMesh();
  /** The application behind the TCP port. */
  const tcp = net.createServer((socket) => socket.on('error', () => {}).end('+OK\r\n'));
  const echo = () => mesh.workloads.get('echo')!;
  /** The status, 0 where the connection ends without an answer. */
  const call = () =>
    fetch(`http://${echo().address}:9080/`, { headers: { connection: 'close' } }).then(
      ({ status }) => status,
      () => 0,
    );
  /** Whether a connection to the TCP port reaches the application. */
  const connects = () =>
    new Promise<boolean>((resolve) => {
      const socket = net.connect(9090, echo().address, () => socket.write('PING\r\n'));
      socket.on('data', () => {
        resolve(true);
        socket.destroy();
      });
      socket.on('error', () => {});
      socket.on('close', () => resolve(false));
    });
  const logged = (text: string) => echo().proxy.line((line) => (line.includes(text) ? line : undefined));
  const answers = (status: number) => until(`it answers ${status}`, async () => (await call()) === status);

  beforeAll(async () => {
    await mesh.startControl();
    const address = mesh.address();
    await mesh.apply(yaml(ACCESS_LOGS, meshService('echo', PORTS), workloadEntry('echo', address)));
    await new Promise<void>((done) => tcp.listen(0, '127.0.0.1', done));
    const flags = ['--app-port', `tcp=${(tcp.address() as net.AddressInfo).port}`];
    const app = { name: 'echo', serviceAccount: 'echo', labels: { app: 'echo' }, runtime, app: [ECHO, '{port}'] };
    await mesh.start({ ...app, flags }, address);
    await answers(200);
    await until('TCP connections reach the application', connects);
  });
  afterAll(async () => {
    await mesh.stop();
    tcp.close();
  });

  it('FAIL_CLOSE, which is the default: 503 with its detail, in the log, in the status of the resource', async () => {
    await mesh.apply(yaml(wasmPlugin({ match: [{ mode: 'SERVER', ports: [{ number: 9080 }] }] })));
    await answers(503);
    await logged('"response_code_details":"wasm_fail_stream"');
    await logged('Wasm plugin default.check is not run: its requests are answered 503');
    const message = await until('the status names the field', async () => {
      const at = '/apis/extensions.istio.io/v1alpha1/namespaces/default/wasmplugins/check';
      const { status } = await mesh.api.call<Conditions>('GET', at);
      return status?.conditions?.find((one) => one.type === 'FullyInEffect' && one.status === 'False')?.message;
    });
    expect(message).toMatch(/^spec\.url: has no effect yet: .*503/);
  });

  it('FAIL_OPEN, another port, another workload: requests pass', async () => {
    await mesh.apply(yaml(wasmPlugin({ failStrategy: 'FAIL_OPEN' })));
    await answers(200);
    await logged('Wasm plugin default.check is not run: requests pass without it');
    for (const more of [{ match: [{ ports: [{ number: 9999 }] }] }, { selector: { matchLabels: { app: 'other' } } }]) {
      await mesh.apply(yaml(wasmPlugin({})));
      await answers(503);
      await mesh.apply(yaml(wasmPlugin(more)));
      await answers(200);
    }
  });

  it('type NETWORK: connections end, TCP and HTTP ones', async () => {
    await mesh.apply(yaml(trafficExtension({ type: 'NETWORK' })));
    await answers(0);
    await until('TCP connections end', async () => !(await connects()));
    await logged('Wasm plugin default.guard is not run: its connections are closed');
    await mesh.apply(yaml(trafficExtension({ type: 'NETWORK', failStrategy: 'FAIL_OPEN' })));
    await answers(200);
    await until('TCP connections pass', connects);
  });
});
