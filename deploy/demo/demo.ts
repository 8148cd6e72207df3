/**
 * `npm run demo`: a mesh of real processes on loopback, and a canary through it. On a terminal a live screen until
 * Ctrl-C; with `--once` a plain transcript that exits 0, or 1 when a counted result differs from the claim.
 */
import { readFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { bunBinary, denoBinary, type RuntimeName, workerdBinary } from '../../control/cli/runtimes.mjs';
import { LoopbackMesh, type Workload } from '../local/mesh.ts';
import { until } from '../local/until.ts';
import { startWorker } from '../worker/workerd.ts';
import { liveScreen, type Screen, transcript } from './screen.ts';
import { type Answer, get, Traffic, versionOf } from './traffic.ts';

const SHOP = fileURLToPath(new URL('shop.ts', import.meta.url));
const RESOURCES = readFileSync(fileURLToPath(new URL('shop.yaml', import.meta.url)), 'utf8');
const GATEWAY_PORT = 8080;
/**
 * Short enough to see each certificate rotate. Between half and all of it remains when the control plane is killed, and a
 * certificate that expires before the restart cannot be renewed: a loaded machine can take 25 s to start Node, Deno and Bun.
 */
const SVID_TTL = '60s';
const SAMPLE = 400;

const once = process.argv.includes('--once') || !process.stdout.isTTY;
const mesh = new LoopbackMesh();
let traffic: Traffic | undefined;
let failures = 0;
/** Serial numbers of the certificates each sidecar has shown. */
const serials = new Map<string, Set<string>>();

const screen: Screen = once
  ? transcript()
  : liveScreen(() => ({
      title: '',
      total: traffic?.total ?? 0,
      failed: traffic?.failed ?? 0,
      shares: traffic?.versions ?? new Map(),
    }));

function check(ok: boolean, line: string): void {
  if (!ok) failures++;
  screen.check(ok, line);
}

/** Several runtimes in one mesh; Node replaces one that is not installed, with a message. */
function runtimes(): (index: number) => RuntimeName {
  const found: RuntimeName[] = ['node'];
  if (bunBinary()) found.push('bun');
  if (denoBinary()) found.push('deno');
  if (found.length < 3) screen.say(`only ${found.join(', ')} found; "npm ci" installs Bun and Deno`);
  return (index) => found[index % found.length]!;
}

const workloadEntry = (name: string, address: string, account: string, labels: Record<string, string>) => `
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: { name: ${name}, namespace: default }
spec: { address: ${address}, serviceAccount: ${account}, labels: ${JSON.stringify(labels)} }
`;

/** The rule of the moment for reviews; its name shows in the sidecar's routes, so that its arrival can be awaited. */
const reviewsRule = (name: string, weights: Record<string, number>, forUser?: { user: string; version: string }) => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: reviews, namespace: default }
spec:
  hosts: [reviews]
  http:
${forUser ? `  - name: ${name}-user\n    match: [{ headers: { end-user: { exact: ${forUser.user} } } }]\n    route: [{ destination: { host: reviews, subset: ${forUser.version} } }]\n` : ''}  - name: ${name}
    route:
${Object.entries(weights)
  .map(([version, weight]) => `    - { destination: { host: reviews, subset: ${version} }, weight: ${weight} }`)
  .join('\n')}
`;

async function setReviews(name: string, weights: Record<string, number>, forUser?: { user: string; version: string }) {
  await mesh.apply(reviewsRule(name, weights, forUser));
  const front = mesh.workloads.get('front')!;
  await until(`the front page's sidecar runs ${name}`, async () => {
    const dump = await get(`http://127.0.0.1:${front.adminPort}/config_dump`);
    return JSON.stringify(dump.body).includes(`"${name}"`);
  });
}

async function startShop(): Promise<Workload> {
  const runtime = runtimes();
  const parts = [
    ['details', 'details', 'v1'],
    ['ratings', 'ratings', 'v1'],
    ['reviews-v1', 'reviews', 'v1'],
    ['reviews-v2', 'reviews', 'v2'],
    ['reviews-v3', 'reviews', 'v3'],
    ['front', 'front', 'v1'],
  ] as const;
  await Promise.all(
    parts.map(async ([name, app, version], index) => {
      const labels = { app, version };
      const address = mesh.address();
      await mesh.apply(workloadEntry(name, address, app, labels));
      const options = {
        name,
        serviceAccount: app,
        labels,
        runtime: runtime(index),
        app: [SHOP, app, '{port}', version],
      };
      await mesh.start(options, address);
      screen.say(`${name.padEnd(11)} ${address.padEnd(16)} sidecar on ${options.runtime}`);
    }),
  );
  const ingress = await mesh.start({
    name: 'ingress',
    serviceAccount: 'ingress',
    labels: { app: 'ingress' },
    runtime: runtime(1),
    type: 'router',
  });
  screen.say(`ingress     ${ingress.address.padEnd(16)} gateway on ${ingress.options.runtime}`);
  return ingress;
}

/** Moves the canary and counts where `SAMPLE` requests went. The bound is six standard deviations: one in 10^9 by chance. */
async function canary(share: number): Promise<void> {
  await setReviews(`canary-${100 - share}-${share}`, { v1: 100 - share, v3: share });
  const before = new Map(traffic!.versions);
  const total = traffic!.total;
  await until('traffic', async () => traffic!.total >= total + SAMPLE);
  const counted = (version: string) => (traffic!.versions.get(version) ?? 0) - (before.get(version) ?? 0);
  const seen = counted('v1') + counted('v3');
  const expected = (seen * share) / 100;
  const bound = 6 * Math.sqrt((seen * share * (100 - share)) / 10_000) + 8;
  check(
    Math.abs(counted('v3') - expected) <= bound && counted('v2') === 0,
    `${100 - share}/${share}: ${counted('v1')} to v1, ${counted('v3')} to v3 of ${seen}`,
  );
}

async function byHeader(gateway: string): Promise<void> {
  screen.step('A/B by header: end-user kim reads v2, all others v1');
  await setReviews('ab', { v1: 100 }, { user: 'kim', version: 'v2' });
  const answers = async (headers: Record<string, string>) =>
    (await Promise.all(Array.from({ length: 20 }, () => get(gateway, headers)))).map(versionOf);
  const kim = await answers({ 'end-user': 'kim' });
  const others = await answers({});
  check(
    kim.every((version) => version === 'v2'),
    `20 requests of kim: ${kim.filter((v) => v === 'v2').length} to v2`,
  );
  check(
    others.every((version) => version === 'v1'),
    `20 requests of others: ${others.filter((v) => v === 'v1').length} to v1`,
  );
}

interface Page {
  caller: string;
  details: { body: { caller: string } };
  reviews: { body: { caller: string; ratings?: { body: { caller: string } } } };
}

async function identities(gateway: string): Promise<void> {
  screen.step('Who called whom, as each sidecar verified it');
  const page = (await get(gateway, { 'end-user': 'kim' })).body as Page;
  const hops: [string, string, string][] = [
    ['front', page.caller, 'ingress'],
    ['details', page.details.body.caller, 'front'],
    ['reviews', page.reviews.body.caller, 'front'],
    ['ratings', page.reviews.body.ratings?.body.caller ?? '', 'reviews'],
  ];
  for (const [service, caller, account] of hops)
    check(
      caller === `spiffe://cluster.local/ns/default/sa/${account}`,
      `${service} was called by ${caller || 'an unknown caller'}`,
    );
}

async function denied(): Promise<void> {
  screen.step('Only reviews may call ratings: the front page is denied');
  await mesh.apply(`
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: no-front, namespace: default }
spec:
  selector: { matchLabels: { app: ratings } }
  action: DENY
  rules:
  - from: [{ source: { principals: [cluster.local/ns/default/sa/front] } }]
`);
  const front = mesh.workloads.get('front')!;
  const ratings = mesh.workloads.get('ratings')!;
  const policy = 'rbac_access_denied_matched_policy[ns[default]-policy[no-front]-rule[0]]';
  let answer: Answer = { status: 0, body: '' };
  await until('the policy arrives', async () => {
    answer = await getThrough(front.httpProxyPort, 'http://ratings:9080/ratings/0');
    return ratings.proxy.lines.some((line) => line.includes(policy));
  });
  check(answer.status === 403, `the answer: ${answer.status} ${JSON.stringify(answer.body)}`);
  check(true, `ratings' access log: ${policy}`);
}

/** A request as an application sends it with `http_proxy` set. */
function getThrough(proxyPort: number, url: string): Promise<Answer> {
  return new Promise((done) => {
    const socket = createConnection(proxyPort, '127.0.0.1');
    let text = '';
    socket.setTimeout(10_000, () => socket.destroy());
    socket.on('data', (chunk) => (text += chunk.toString('latin1')));
    socket.on('error', (error) => done({ status: 0, error: error.message, body: undefined }));
    socket.on('close', () =>
      done({ status: Number(text.slice(9, 12)) || 0, body: text.slice(text.indexOf('\r\n\r\n') + 4) }),
    );
    socket.write(`GET ${url} HTTP/1.1\r\nhost: ${new URL(url).host}\r\nconnection: close\r\n\r\n`);
  });
}

async function plaintext(): Promise<void> {
  screen.step('STRICT mTLS: plaintext to a workload is refused');
  const { address } = mesh.workloads.get('reviews-v1')!;
  const tries = await Promise.all(Array.from({ length: 20 }, () => get(`http://${address}:9080/reviews/0`)));
  check(
    tries.every(({ status }) => status === 0),
    `20 plaintext requests to ${address}:9080: ${tries.filter(({ status }) => status === 0).length} refused`,
  );
}

/** The serial number of the certificate a sidecar presents now; it shows it before it asks for ours. */
function noteSerial({ address, options: { name } }: Workload): Promise<void> {
  const seen = serials.get(name) ?? new Set();
  serials.set(name, seen);
  return new Promise((done) => {
    const socket = connectTls({ host: address, port: 9080, rejectUnauthorized: false, ALPNProtocols: ['istio'] });
    const finish = () => {
      const serial = socket.getPeerCertificate()?.serialNumber;
      if (serial) seen.add(serial);
      socket.destroy();
      done();
    };
    socket.setTimeout(5000, finish);
    socket.once('secureConnect', finish).once('error', finish);
  });
}

/** All sidecars; gateways have no port that presents theirs. */
async function noteSerials(): Promise<void> {
  await Promise.all([...mesh.workloads.values()].filter(({ app }) => app !== undefined).map(noteSerial));
}

async function rotation(): Promise<void> {
  screen.step(`Certificates live ${SVID_TTL} here and rotate at half of it`);
  await until('every sidecar has rotated', async () => {
    await noteSerials();
    return [...serials.values()].every((seen) => seen.size >= 2);
  });
  const shown = [...serials.values()].reduce((sum, seen) => sum + seen.size, 0);
  check(
    traffic!.failed === 0,
    `${serials.size} sidecars have shown ${shown} certificates so far; of ${traffic!.total} requests ${traffic!.failed} failed`,
  );
}

async function controlPlaneDown(gateway: string): Promise<void> {
  screen.step('The control plane is killed; traffic continues');
  await setReviews('reader-v1', { v3: 100 }, { user: 'reader', version: 'v1' });
  await mesh.control.stop('SIGKILL');
  const { total, failed } = traffic!;
  await mesh.restartProxy('reviews-v1');
  const served = await Promise.all(Array.from({ length: 20 }, () => get(gateway, { 'end-user': 'reader' })));
  check(
    served.every((answer) => answer.status === 200 && versionOf(answer) === 'v1'),
    `a sidecar restarted meanwhile serves from its disk: ${served.filter(({ status }) => status === 200).length} of 20`,
  );
  check(
    traffic!.failed === failed,
    `without a control plane: ${traffic!.total - total} requests, ${traffic!.failed - failed} failed`,
  );
  await mesh.startControl({ svidTtl: SVID_TTL });
  await setReviews('after-restart', { v2: 100 });
  const answer = await get(gateway);
  check(versionOf(answer) === 'v2', 'started again, it moves traffic at once: 0/100 to v2');
}

/** The gateway keeps /members for the edge worker, authenticated by a JWT-SVID bound to the gateway's audience. */
async function throughTheEdge(ingress: Workload): Promise<void> {
  screen.step('An edge worker on workerd in front');
  if (!workerdBinary()) return check(false, 'workerd is not installed; "npm ci" installs it');
  const gateway = `http://${ingress.address}:${GATEWAY_PORT}`;
  const worker = await startWorker(mesh, { gateway, serviceAccount: 'edge' });
  await mesh.apply(`
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: members-by-edge, namespace: default }
spec:
  selector: { matchLabels: { app: ingress } }
  action: DENY
  rules:
  - from: [{ source: { notPrincipals: [cluster.local/ns/default/sa/edge] } }]
    to: [{ operation: { paths: ["/members*"] } }]
`);
  await until('the policy arrives', async () => (await get(`${gateway}/members`)).status === 403);
  const answers = await Promise.all(Array.from({ length: 20 }, () => get(`${worker.url}/members`)));
  const answered = answers.filter(({ status }) => status === 200).length;
  check(answered === 20, `20 requests to /members through the worker at ${worker.url}: ${answered} answered 200`);
  const forged = await get(`${gateway}/members`, { 'x-tulle-jwt-svid': 'eyJhbGciOiJub25lIn0.e30.' });
  check(forged.status === 401, `the same at the gateway itself: 403; with a forged token: ${forged.status}`);
}

async function play(): Promise<void> {
  const started = Date.now();
  screen.step('Control plane on SQLite, in a temporary folder');
  await mesh.startControl({ svidTtl: SVID_TTL });
  screen.say(`${mesh.url}, data in ${mesh.folder}`);
  await mesh.apply(RESOURCES);
  await mesh.apply(reviewsRule('start', { v1: 100 }));
  screen.step('The shop: applications with sidecars, and an ingress gateway');
  const ingress = await startShop();
  const gateway = `http://${ingress.address}:${GATEWAY_PORT}/`;
  await until('the front page', async () => (await get(gateway)).status === 200);
  await noteSerials();

  traffic = new Traffic(gateway, 4);
  do {
    screen.step('A canary: reviews v1 to v3, while requests flow');
    for (const share of [10, 50, 100]) await canary(share);
    await noteSerials();
    if (once || mesh.workloads.size === 7) {
      await byHeader(gateway);
      await identities(gateway);
      await denied();
      await plaintext();
      await rotation();
      await controlPlaneDown(gateway);
      if (once) await throughTheEdge(ingress);
    }
  } while (!once);
  await traffic.stop();
  screen.step('The whole run');
  check(
    traffic.failed === 0,
    `${traffic.total} requests through the gateway, ${traffic.failed} failed${traffic.firstFailure ? ` (first: ${traffic.firstFailure})` : ''}`,
  );
  screen.say(`${((Date.now() - started) / 1000).toFixed(1)} s`);
}

let ending: Promise<void> | undefined;
/** Stops everything; further calls wait for the first. */
function end(): Promise<void> {
  ending ??= (async () => {
    await traffic?.stop();
    await mesh.stop();
  })();
  return ending;
}
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.on(signal, () => {
    screen.close();
    if (!ending) process.stdout.write('\nstopping everything …\n');
    void end().then(() => {
      const { total = 0, failed = 0 } = traffic ?? {};
      process.stdout.write(`${total} requests, ${failed} failed; everything is stopped and removed\n`);
      process.exit(once ? 130 : failures + failed === 0 ? 0 : 1);
    });
  });

try {
  await play();
} catch (error) {
  if (!ending) check(false, (error as Error).message);
}
await end();
screen.close();
process.exit(failures === 0 ? 0 : 1);
