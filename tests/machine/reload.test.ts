/** The proxy of a machine is replaced by `systemctl reload` while traffic is captured: no request fails. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bunBinary, denoBinary, nodeBinary } from '../../control/cli/runtimes.mjs';
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
`;

const HOST = 'reviews.default.svc.cluster.local';

/** Answers `ok`; `/long` in two parts, the second one once the file /run/finish is there. */
const APP = `
import http.server, os, time
class Handler(http.server.BaseHTTPRequestHandler):
  protocol_version = 'HTTP/1.1'
  def do_GET(self):
    self.send_response(200)
    parts = [b'begin', b'end'] if self.path == '/long' else [b'ok']
    self.send_header('content-length', str(sum(map(len, parts))))
    self.end_headers()
    for number, part in enumerate(parts):
      while number and not os.path.exists('/run/finish'): time.sleep(0.05)
      self.wfile.write(part)
      self.wfile.flush()
  def log_message(self, *words): pass
http.server.ThreadingHTTPServer(('0.0.0.0', 9080), Handler).serve_forever()
`;

/** Calls a host until /run/stop is there, on kept and on new connections; prints how many answers came, and what failed. */
const LOAD = `
import http.client, os, sys, threading
URL = sys.argv[1]
answered, failures = [0], []
def loop(kept):
  connection = None
  while not os.path.exists('/run/stop'):
    try:
      if connection is None: connection = http.client.HTTPConnection(URL, 9080, timeout=30)
      connection.request('GET', '/')
      response = connection.getresponse()
      body = response.read()
      if response.status != 200 or body != b'ok': failures.append(f'{response.status} {body}')
      answered[0] += 1
      if not kept or response.will_close:
        connection.close()
        connection = None
    except Exception as error:
      failures.append(f'{"kept" if kept else "new"} connection: {error!r}')
      connection = None
threads = [threading.Thread(target=loop, args=(number % 2 == 0,)) for number in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(answered[0], failures)
`;

describe.skipIf(!HOSTS || !MACHINES)('systemctl reload tulle-proxy', () => {
  const mesh = new InvitingMesh();

  beforeAll(async () => {
    await mesh.start();
    await mesh.apply(GROUP);
  });
  afterAll(() => mesh.close());

  const mainPid = async (machine: TestMachine) =>
    (await machine.shell('systemctl show -p MainPID --value tulle-proxy')).out.trim();

  it.each(['node', 'bun', 'deno', 'executable'] as const)(
    'fails no captured request, on %s',
    { timeout: 240_000 },
    async (runtime) => {
      const machine = await mesh.boot();
      const binary = { node: nodeBinary(), bun: bunBinary(), deno: denoBinary(), executable: undefined }[runtime];
      if (binary !== undefined) await machine.shell(`cp ${binary} /usr/local/bin/${runtime}`);
      await machine.shell(`cat >/run/app.py <<'END'${APP}END
cat >/run/load.py <<'END'${LOAD}END
systemd-run --unit app python3 /run/app.py`);
      const joined = await machine.shell(await mesh.invite('--group', 'reviews'));
      expect(joined, joined.error).toMatchObject({ code: 0 });
      const call = (path: string) => `curl -sS -m 100 http://${HOST}:9080${path}`;
      await until('the service is called', async () => (await machine.shell(call('/'))).out === 'ok');

      const long = machine.shell(`${call('/long')} -N | tee /run/long`);
      // The port of Deno's name server cannot be handed over: its names are not answered for a moment.
      const address = (await machine.shell(`getent ahostsv4 ${HOST} | cut -d ' ' -f 1 | head -1`)).out.trim();
      const load = machine.shell(`python3 /run/load.py ${runtime === 'deno' ? address : HOST}`);
      await until('the stream has begun', async () => (await machine.shell('cat /run/long')).out === 'begin');
      const seen = new Set([await mainPid(machine)]);
      for (let restart = 0; restart < 2; restart++) {
        expect(await machine.shell('systemctl reload tulle-proxy')).toMatchObject({ code: 0, error: '' });
        seen.add(await mainPid(machine));
      }
      await machine.shell('touch /run/finish /run/stop');
      const { out, error } = await load;
      expect(out, error).toMatch(/^\d+ \[\]\n$/);
      expect(Number.parseInt(out, 10)).toBeGreaterThan(50);
      expect(seen.size).toBe(3);
      expect((await long).out).toBe('beginend');
      expect(await machine.shell('tulle check -o short')).toMatchObject({ code: 0 });
      await until('the proxies before have ended', async () => {
        const { out: processes } = await machine.shell('pgrep -fc -- --interception-mode');
        return processes.trim() === '1';
      });
      // What was taken over is registered, and whole.
      const entries = await mesh.admin(['get', 'workloadentries', '-n', 'default', '-o', 'name']);
      expect(entries.out).toContain(machine.address);
      expect(await machine.shell('systemctl restart tulle-proxy && tulle check -o short')).toMatchObject({ code: 0 });
      expect(await machine.shell('tulle leave')).toMatchObject({ code: 0 });
    },
  );
});
