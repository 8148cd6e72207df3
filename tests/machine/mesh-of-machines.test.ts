/**
 * Machines of WorkloadGroups as their users meet them: each joins by the line of `tulle invite`, and calls the others by name,
 * without `http_proxy`.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HOSTS, type TestHost } from '../kit/hosts.ts';
import { MACHINES, type TestMachine } from '../kit/machines.ts';
import { run } from '../kit/process.ts';
import { until } from '../kit/waiting.ts';
import { InvitingMesh } from './inviting-mesh.ts';

const MESH = `
apiVersion: v1
kind: Namespace
metadata: { name: shop }
---
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: { name: reviews, namespace: shop }
spec:
  metadata: { labels: { app: reviews } }
  template: { serviceAccount: reviews, ports: { http: 9080 } }
---
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: { name: web, namespace: shop }
spec:
  metadata: { labels: { app: web } }
  template: { serviceAccount: web }
---
apiVersion: v1
kind: Service
metadata: { name: reviews, namespace: shop }
spec: { selector: { app: reviews }, ports: [{ name: http, port: 9080 }] }
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: { name: default, namespace: shop }
spec: { mtls: { mode: STRICT } }
`;
const DENY = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: no-web, namespace: shop }
spec:
  selector: { matchLabels: { app: reviews } }
  action: DENY
  rules: [{ from: [{ source: { principals: [cluster.local/ns/shop/sa/web] } }] }]
`;
/** An application that answers with the certificate of its client, which its proxy has verified. */
const APP = `cat >/usr/local/lib/app.py <<'END'
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class App(BaseHTTPRequestHandler):
    def do_GET(self):
        body = ('reviews for ' + self.headers.get('x-forwarded-client-cert', 'a client without a certificate')).encode()
        self.send_response(200)
        self.send_header('content-length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
ThreadingHTTPServer(('0.0.0.0', 9080), App).serve_forever()
END
cat >/etc/systemd/system/reviews.service <<'END'
[Service]
ExecStart=/usr/bin/python3 /usr/local/lib/app.py
[Install]
WantedBy=multi-user.target
END
systemctl daemon-reload; systemctl enable --now reviews.service`;
const NAMES = ['reviews', 'reviews.shop', 'reviews.shop.svc.cluster.local'];

describe.skipIf(!HOSTS || !MACHINES)('machines that joined', () => {
  const mesh = new InvitingMesh();
  let bare: TestHost;
  let [reviews, web]: TestMachine[] = [];
  let before: string[];

  beforeAll(async () => {
    await mesh.start();
    await mesh.apply(MESH);
    bare = mesh.network.add();
    [reviews, web] = await Promise.all([mesh.boot(), mesh.boot()]);
    await reviews!.shell(APP);
    before = await states();
  });
  afterAll(() => mesh.close());

  const states = () => Promise.all([mesh.stateOf(reviews!), mesh.stateOf(web!)]);
  const join = async (machine: TestMachine, group: string, after = '') => {
    const joined = await machine.shell(`${await mesh.invite('--group', group, '-n', 'shop')}${after}`);
    expect(joined, joined.error).toMatchObject({ code: 0, out: '' });
  };
  const entries = async () => {
    const { out } = await mesh.admin(['get', 'workloadentries', '-n', 'shop', '-o', 'json']);
    const { items } = JSON.parse(out) as { items: { metadata: { name: string } }[] };
    return items.map(({ metadata }) => metadata.name).sort();
  };
  /** The status and the text that a command of `machine` is answered with. */
  const call = async (machine: TestMachine, name = 'reviews.shop') =>
    (await machine.shell(`curl -s -m 10 -w ' %{http_code}' http://${name}:9080/`)).out;

  /** Its connection to the workload's port is closed without an answer. */
  const refusesBareClient = async () => {
    const [curl = '', ...words] = bare.run(['curl', '-s', '-m', '5', `http://${reviews!.address}:9080/`]);
    const { code, out } = await run(curl, words);
    expect({ out, isClosed: [52, 56].includes(code) }, `curl ended with ${code}`).toEqual({ out: '', isClosed: true });
  };

  it('call each other by name over mTLS, and refuse clients that have not joined', async () => {
    await Promise.all([join(reviews!, 'reviews', ' -- reviews.service'), join(web!, 'web')]);
    await until('both are registered', async () => (await entries()).length === 2);
    expect(await entries()).toEqual([`reviews-${reviews!.address}`, `web-${web!.address}`]);

    await until('the name is answered', async () => (await call(web!)).endsWith(' 200'));
    for (const name of NAMES) {
      expect(await web!.shell(`getent hosts ${name}`), name).toMatchObject({ code: 0 });
      expect(await call(web!, name), name).toMatch(
        /^reviews for .*URI=spiffe:\/\/cluster\.local\/ns\/shop\/sa\/web.* 200$/,
      );
    }
    await refusesBareClient();
  });

  it('obey policies by their principals', async () => {
    await mesh.apply(DENY);
    await until('the call is denied', async () => (await call(web!)).endsWith(' 403'));
    await mesh.admin(['delete', 'authorizationpolicy', 'no-web', '-n', 'shop']);
    await until('the call is allowed', async () => (await call(web!)).endsWith(' 200'));
  });

  it('serve and call after a reboot while the control plane is down', async () => {
    await mesh.stopControl();
    for (const machine of [reviews!, web!]) {
      await machine.crash();
      await machine.boot();
      await until('it serves', async () => (await call(web!)).endsWith(' 200'));
    }
    await refusesBareClient();
    await mesh.startControl();
  });

  it('leave as they came', async () => {
    await until('both are registered', async () => (await entries()).length === 2);
    for (const machine of [web!, reviews!])
      expect(await machine.shell('tulle leave')).toMatchObject({
        code: 0,
        error: expect.stringContaining('tulle: deregistered'),
      });
    expect(await states()).toEqual(before);
    await until('their entries are removed', async () => (await entries()).length === 0);
  });
});
