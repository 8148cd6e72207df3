/** The edge worker on workerd in front of an ingress gateway: who it is, what the gateway lets in, what it routes itself. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { resourcePath } from '../../control/cli/resources/selection.ts';
import { workerdBinary } from '../../control/cli/runtimes.mjs';
import { startWorker, type Workerd } from '../../deploy/worker/workerd.ts';
import { kindOf } from '../../shared/resources/index.ts';
import { parseDocuments } from '../../shared/resources/read/parse.ts';
import { ROOT } from '../kit/environment.ts';
import { LoopbackMesh, type Workload } from '../kit/mesh.ts';
import { workloadEntry } from '../kit/resources.ts';
import { until } from '../kit/waiting.ts';

if (!workerdBinary()) console.warn('skipped: workerd is not installed (npm ci installs it)');

const RESOURCES = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: echo, namespace: default }
spec:
  hosts: [echo.default.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{ number: 9080, name: http, protocol: HTTP }]
  workloadSelector: { labels: { app: echo } }
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: ingress, namespace: default }
spec:
  selector: { app: ingress }
  servers: [{ port: { number: 8080, name: http, protocol: HTTP }, hosts: ["*"] }]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: edge, namespace: default }
spec:
  selector: { app: edge }
  servers: [{ port: { number: 80, name: http, protocol: HTTP }, hosts: ["*"] }]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: ingress, namespace: default }
spec:
  hosts: ["*"]
  gateways: [ingress]
  http: [{ route: [{ destination: { host: echo, port: { number: 9080 } } }] }]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: edge, namespace: default }
spec:
  hosts: ["*"]
  gateways: [edge]
  http:
    - match: [{ uri: { exact: /old } }]
      redirect: { uri: /new, redirectCode: 308 }
    - match: [{ uri: { exact: /teapot } }]
      directResponse: { status: 418, body: { string: short and stout } }
    - match: [{ uri: { exact: /made } }]
      directResponse: { status: 201, body: { string: made } }
    - match: [{ uri: { exact: /flaky } }]
      retries: { attempts: 2, retryOn: 5xx }
      route: [{ destination: { host: echo, port: { number: 9080 } } }]
    - match: [{ uri: { exact: /broken } }]
      fault: { abort: { httpStatus: 555, percentage: { value: 100 } } }
      route: [{ destination: { host: echo, port: { number: 9080 } } }]
    - match: [{ uri: { prefix: /api/ } }]
      rewrite: { uri: /v1/ }
      headers:
        request: { add: { x-edge: "yes" }, remove: [x-secret] }
        response: { add: { x-served-by: edge } }
      route: [{ destination: { host: echo, port: { number: 9080 } } }]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: workers-only, namespace: default }
spec:
  selector: { matchLabels: { app: ingress } }
  rules: [{ from: [{ source: { principals: [cluster.local/ns/default/sa/edge-worker] } }] }]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: no-strangers, namespace: default }
spec:
  selector: { matchLabels: { app: ingress } }
  action: DENY
  rules:
    - from: [{ source: { notPrincipals: [cluster.local/ns/default/sa/edge-worker] } }]
      to: [{ operation: { paths: [/named] } }]
---
apiVersion: v1
kind: ConfigMap
metadata: { name: istio, namespace: istio-system }
data: { mesh: "{ accessLogFile: /dev/stdout, accessLogEncoding: JSON }" }
`;

interface Echo {
  method: string;
  url: string;
  headers: Record<string, string>;
  body: string;
}

describe.skipIf(!workerdBinary())('edge worker', () => {
  const mesh = new LoopbackMesh();
  const workers: Workerd[] = [];
  let ingress: Workload;
  let gateway: string;
  let worker: Workerd;

  beforeAll(async () => {
    await mesh.startControl();
    const apply = (resource: { apiVersion: string; kind: string; metadata: { namespace: string } }) => {
      const kind = kindOf(resource.apiVersion, resource.kind)!;
      return mesh.api.call('POST', resourcePath(kind, resource.metadata.namespace), resource);
    };
    for (const { value } of parseDocuments(RESOURCES).documents) await apply(value as never);
    const address = mesh.address();
    const labels = { app: 'echo' };
    await apply(workloadEntry('echo', address));
    const app = [join(ROOT, 'tests/e2e/worker-echo.ts'), '{port}'];
    await mesh.start({ name: 'echo', serviceAccount: 'echo', labels, runtime: 'node', app }, address);
    const options = { name: 'ingress', serviceAccount: 'ingress', labels: { app: 'ingress' } };
    ingress = await mesh.start({ ...options, runtime: 'node', type: 'router' });
    gateway = `http://${ingress.address}:8080`;
    worker = await start('edge-worker');
    await until('the gateway reaches the service', async () => (await fetch(`${worker.url}/`)).status === 200);
  });

  afterAll(async () => {
    await Promise.all(workers.map((one) => one.stop()));
    await mesh.stop();
  });

  async function start(serviceAccount: string, more: object = {}): Promise<Workerd> {
    const started = await startWorker(mesh, { gateway, serviceAccount, name: serviceAccount, ...more });
    workers.push(started);
    return started;
  }

  it('forwards as its own SPIFFE id, and the token goes no further than the gateway', async () => {
    const response = await fetch(`${worker.url}/a/b?c=d`, {
      method: 'POST',
      body: 'hello',
      headers: { 'x-tulle-jwt-svid': 'spoofed' },
    });
    expect(response.status).toBe(200);
    const echo = (await response.json()) as Echo;
    expect(echo).toMatchObject({ method: 'POST', url: '/a/b?c=d', body: 'hello' });
    expect(echo.headers).not.toHaveProperty('x-tulle-jwt-svid');
    expect(JSON.stringify(echo)).not.toContain('spoofed');
    expect(echo.headers['x-forwarded-for']).toMatch(/^127\.0\.0\.1,/);
  });

  it('is needed: anonymous callers are denied, and the log names the policy', async () => {
    expect((await fetch(`${gateway}/anonymous`)).status).toBe(403);
    expect((await fetch(`${gateway}/named`)).status).toBe(403);
    expect((await fetch(`${worker.url}/named`)).status).toBe(200);
    const denied = 'rbac_access_denied_matched_policy[ns[default]-policy[no-strangers]-rule[0]]';
    await until('the access log', () => ingress.proxy.lines.some((line) => line.includes(denied)));
    expect(ingress.proxy.lines.filter((line) => line.includes(denied))).toHaveLength(1);
  });

  it.each(['forged', 'a.b.c', ''])('a bad token %j is refused with 401, not taken for none', async (token) => {
    const response = await fetch(`${gateway}/`, { headers: { 'x-tulle-jwt-svid': token } });
    expect(response.status).toBe(401);
  });

  it('a token for the control plane is none for the gateway', async () => {
    const token = await mesh.joinToken('edge-worker');
    const answer = await mesh.api.call<{ token: string }>('POST', '/v1/jwt-svids', {
      audience: ['tulle-control'],
      token,
    });
    const response = await fetch(`${gateway}/`, { headers: { 'x-tulle-jwt-svid': answer.token } });
    expect(response.status).toBe(403);
  });

  it('another worker is another principal, and denied', async () => {
    const other = await start('other-worker');
    expect((await fetch(`${other.url}/`)).status).toBe(403);
  });

  it('streams large bodies, and leaves them encoded as they are', async () => {
    const body = 'x'.repeat(3_000_000);
    const echo = (await (await fetch(`${worker.url}/large`, { method: 'POST', body })).json()) as Echo;
    expect(echo.body === body).toBe(true);
    expect(echo.headers['content-length']).toBe(String(body.length));
    const response = await fetch(`${worker.url}/gzip`);
    expect(response.headers.get('content-encoding')).toBe('gzip');
    expect(await response.json()).toMatchObject({ url: '/gzip' });
    expect((await fetch(`${worker.url}/head`, { method: 'HEAD' })).status).toBe(200);
  });

  it('passes WebSockets', async () => {
    const socket = new WebSocket(`${worker.url.replace('http', 'ws')}/socket`);
    const answer = await new Promise((resolve, reject) => {
      socket.onopen = () => socket.send('to and fro');
      socket.onmessage = ({ data }) => resolve(data);
      socket.onerror = () => reject(new Error('the socket broke'));
    });
    expect(answer).toBe('to and fro');
    socket.close();
  });

  it('answers for its own paths', async () => {
    expect((await fetch(`${worker.url}/.tulle/live`)).status).toBe(200);
    expect((await fetch(`${worker.url}/.tulle/unknown`)).status).toBe(404);
  });

  it('runs the routes that discovery gives it, and follows their changes', async () => {
    const edge = await start('edge-worker', { labels: { app: 'edge' }, routesOfPort: 80, svidTtl: 10 });
    const get = (path: string, headers = {}) => fetch(edge.url + path, { headers, redirect: 'manual' });
    const redirect = await get('/old');
    expect([redirect.status, redirect.headers.get('location')]).toEqual([308, `${edge.url}/new`]);
    const direct = await get('/teapot');
    expect([direct.status, await direct.text()]).toEqual([418, 'short and stout']);
    const made = await get('/made');
    expect([made.status, made.headers.get('location'), await made.text()]).toEqual([201, `${edge.url}/made`, 'made']);
    // Two of three are answered with 500: the worker's own retries.
    expect((await get('/flaky')).status).toBe(200);
    expect((await get('/x/%2e%2e/te%61pot')).status).toBe(418);
    expect((await get('/broken')).status).toBe(555);
    expect((await get('/nowhere')).status).toBe(404);
    // Routes see the path as the gateway's policies will. (What `fetch` resolves itself is not sent as written here.)
    for (const spelling of ['/x/..;/teapot', '/..;a=b/teapot', '/.;/teapot', '/%74eapot'])
      expect((await get(spelling)).status, spelling).toBe(418);
    expect((await get('/x/%2e%2e;/teapot')).status).toBe(400);
    const forwarded = await get('/api/x', { 'x-secret': 's' });
    expect([forwarded.status, forwarded.headers.get('x-served-by')]).toEqual([200, 'edge']);
    const echo = (await forwarded.json()) as Echo;
    const climbed = await get('/x/..;/api/x');
    expect(((await climbed.json()) as Echo).url).toBe('/v1/x');
    expect([echo.url, echo.headers['x-edge'], echo.headers['x-secret']]).toEqual(['/v1/x', 'yes', undefined]);

    const path = '/apis/networking.istio.io/v1/namespaces/default/virtualservices/edge';
    const current = await mesh.api.call<{ spec: { http: { directResponse?: { status: number } }[] } }>('GET', path);
    current.spec.http[1]!.directResponse!.status = 451;
    await mesh.api.call('PUT', path, current);
    await until('the new route', async () => (await get('/teapot')).status === 451);
  });
});
