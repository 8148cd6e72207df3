/**
 * The control plane as a process that is killed (SIGKILL) and started again at random, in the middle of writes and pushes, with
 * proxies that stay: no acknowledged write is lost, and in the end every proxy holds what a whole compilation of the store
 * gives it. `TULLE_SEED` repeats a run.
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { compileNode } from '../../control/compile/node/node.ts';
import { canonicalJson } from '../../control/compile/output/digest.ts';
import { buildView } from '../../control/mesh/build-view.ts';
import { meshForm } from '../../control/mesh/mesh-resource.ts';
import type { Resource } from '../../shared/resources/resource.ts';
import { FEATURES } from '../../shared/xds/discovery.ts';
import { temporaryFolder } from '../kit/environment.ts';
import { freePorts } from '../kit/ports.ts';
import { until } from '../kit/waiting.ts';
import { RestartableControl } from './control-process.ts';
import { heldOf, RecordingProxy } from './recording-proxy.ts';

const SEED = Number(process.env['TULLE_SEED'] ?? Math.floor(Math.random() * 1e9));
const KILLS = Number(process.env['TULLE_FUZZ_RUNS'] ?? 1) * 5;
const EAGER = FEATURES.filter((feature) => feature !== 'tulle.on-demand');
/** What proxies announce: as the product, as before there were features, and as a version to come. */
const ANNOUNCED = [EAGER, [], ['tulle.virtual-hosts'], [...EAGER, 'tulle.of-a-later-version']];

const folder = temporaryFolder();
const proxies: RecordingProxy[] = [];
let control: RestartableControl;

beforeAll(async () => {
  const [port] = await freePorts(1);
  control = new RestartableControl(folder.path, port!);
  await control.start();
  await mustWrite('/api/v1/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } });
  const keyPair = await control.identity('shop', 'a');
  for (const [i, features] of ANNOUNCED.entries()) {
    const id = `sidecar~10.0.0.${i + 1}~p${i}.shop~shop.svc.cluster.local`;
    const metadata = { NAMESPACE: 'shop', SERVICE_ACCOUNT: 'a', LABELS: { app: 'a' }, INTERCEPTION_MODE: 'NONE' };
    proxies.push(new RecordingProxy({ url: control.url, ca: control.ca, keyPair, node: { id, metadata }, features }));
  }
});

afterAll(async () => {
  await Promise.all(proxies.map((proxy) => proxy.stop()));
  await control.kill();
  folder.dispose();
});

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

async function mustWrite(path: string, resource: object): Promise<void> {
  const { status, body } = await control.api.request('POST', path, resource);
  if (status !== 201) throw new Error(`${path}: ${status} ${JSON.stringify(body)}`);
}

const PLURALS = ['serviceentries', 'workloadentries', 'virtualservices'] as const;
const KINDS = { serviceentries: 'ServiceEntry', workloadentries: 'WorkloadEntry', virtualservices: 'VirtualService' };
const path = (plural: string, name = '') =>
  `/apis/networking.istio.io/v1/namespaces/shop/${plural}${name === '' ? '' : `/${name}`}`;
const host = (n: number) => `h${n}.example.com`;

function specOf(plural: (typeof PLURALS)[number], n: number, random: () => number): object {
  const some = Math.floor(random() * 200);
  if (plural === 'workloadentries') return { address: `10.1.${n}.${some + 1}`, labels: { app: `h${n}` } };
  if (plural === 'virtualservices')
    return {
      hosts: [host(n)],
      http: [{ route: [{ destination: { host: host(n) } }], timeout: `${some + 1}s` }],
    };
  return {
    hosts: [host(n)],
    location: 'MESH_INTERNAL',
    resolution: 'STATIC',
    ports: [{ number: 8000 + (some % 3), name: 'http', protocol: 'HTTP' }],
    workloadSelector: { labels: { app: `h${n}` } },
  };
}

/** Writes at random, one resource after the other, and knows what each may be: the last acknowledged, or a later one without an answer. */
class Writer {
  acknowledged = 0;
  readonly possible = new Map<string, (string | undefined)[]>();
  private readonly names: readonly number[];
  private readonly random: () => number;

  constructor(names: readonly number[], random: () => number) {
    this.names = names;
    this.random = random;
  }

  async write(): Promise<void> {
    const plural = PLURALS[Math.floor(this.random() * PLURALS.length)]!;
    const n = this.names[Math.floor(this.random() * this.names.length)]!;
    const name = `r${n}`;
    const spec = this.random() < 0.2 ? undefined : specOf(plural, n, this.random);
    const key = `${plural}/${name}`;
    const wanted = spec && canonicalJson(spec);
    try {
      const status = await (spec ? this.put(plural, name, spec) : this.delete(plural, name));
      // It is starting: nothing was written.
      if (status === 503) return;
      expect([200, 201, 404], `${key}: ${status}`).toContain(status);
      this.possible.set(key, [wanted]);
      this.acknowledged += 1;
    } catch (error) {
      if (!(error instanceof Error) || error.name !== 'CliError') throw error;
      // No answer: it may have happened.
      this.possible.set(key, [...(this.possible.get(key) ?? [undefined]), wanted]);
    }
  }

  private async put(plural: (typeof PLURALS)[number], name: string, spec: object): Promise<number> {
    const resource = { apiVersion: 'networking.istio.io/v1', kind: KINDS[plural], metadata: { name }, spec };
    const replaced = await control.api.request('PUT', path(plural, name), resource);
    if (replaced.status !== 404) return replaced.status;
    const created = await control.api.request('POST', path(plural), resource);
    expect(created.status, JSON.stringify(created.body)).not.toBe(404);
    return created.status;
  }

  private async delete(plural: string, name: string): Promise<number> {
    return (await control.api.request('DELETE', path(plural, name))).status;
  }
}

async function stored(): Promise<Resource[]> {
  const lists = await Promise.all(
    PLURALS.map(async (plural) => {
      const { body } = await control.api.request('GET', path(plural));
      const { items } = body as { items: Resource[] };
      return items;
    }),
  );
  return lists.flat();
}

/** @param withheld features that the control plane does not use */
async function holdWhatACompilationGives(withheld: readonly string[] = []): Promise<void> {
  const view = buildView((await stored()).map(meshForm), 1);
  for (const proxy of proxies) {
    const used = (proxy.features ?? []).filter((feature) => !withheld.includes(feature));
    const whole = heldOf(compileNode(view, { ...proxy.node, clientFeatures: used }));
    await until(`${proxy.node.id} with ${used.join()} holds what a compilation gives`, () => {
      expect(proxy.held).toEqual(whole);
      return true;
    });
  }
}

it(`loses nothing and leaves every proxy with what a whole compilation gives (TULLE_SEED=${SEED})`, async () => {
  const random = randomFrom(SEED);
  const writers = [0, 1, 2, 3].map((w) => new Writer([w, w + 4, w + 8], random));
  let writing = true;
  const written = writers.map(async (writer) => {
    while (writing) {
      await writer.write();
      // While the control plane is away every write fails at once.
      await new Promise((next) => setTimeout(next, random() * 20));
    }
  });
  const done = Promise.all(written);
  // Reported where it is awaited.
  done.catch(() => {});
  for (let kill = 0; kill < KILLS; kill++) {
    const before = writers.reduce((sum, { acknowledged }) => sum + acknowledged, 0);
    const more = 10 + random() * 60;
    await until('further writes are acknowledged', () => {
      return writers.reduce((sum, { acknowledged }) => sum + acknowledged, 0) >= before + more;
    });
    await control.kill();
    if (random() < 0.4) {
      // Killed again before it is ready, at any stage of its start.
      const starting = control.start();
      await new Promise((later) => setTimeout(later, random() * 1500));
      await control.kill();
      await starting;
    }
    await control.start();
  }
  writing = false;
  await done;

  const found = new Map((await stored()).map((one) => [`${one.kind} ${one.metadata.name}`, canonicalJson(one.spec)]));
  for (const writer of writers)
    for (const [key, possible] of writer.possible) {
      const [plural, name] = key.split('/') as [keyof typeof KINDS, string];
      expect(possible, key).toContain(found.get(`${KINDS[plural]} ${name}`));
    }
  expect(found.size).toBeGreaterThan(3);
  await holdWhatACompilationGives();
  expect(control.lines.filter((line) => line.includes('unexpected'))).toEqual([]);
}, 600_000);

it('serves proxies of the version before and after, and proxies serve with a control plane of the version before', async () => {
  const withheld = ['tulle.virtual-hosts', 'tulle.held-digests'];
  await control.kill();
  await control.start('--withhold-features', withheld.join());
  await new Writer([0], randomFrom(SEED)).write();
  await holdWhatACompilationGives(withheld);
  await control.kill();
  await control.start('--withhold-features', FEATURES.join());
  await holdWhatACompilationGives(FEATURES);
  await control.kill();
  await control.start();
  await new Writer([1], randomFrom(SEED + 1)).write();
  await holdWhatACompilationGives();
}, 600_000);

it('writes the status of a resource that was written just before it was killed', async () => {
  const filter = {
    apiVersion: 'extensions.istio.io/v1alpha1',
    kind: 'WasmPlugin',
    metadata: { name: 'plugin' },
    spec: { url: 'oci://registry.example/plugin:1' },
  };
  const collection = '/apis/extensions.istio.io/v1alpha1/namespaces/shop/wasmplugins';
  await mustWrite(collection, filter);
  await control.kill();
  await control.start();
  const conditions = await until('a condition', async () => {
    const { body } = await control.api.request('GET', `${collection}/plugin`);
    return (body as { status?: { conditions?: object[] } }).status?.conditions;
  });
  expect(conditions).toMatchObject([{ type: 'FullyInEffect', status: 'False', reason: 'FieldWithoutEffect' }]);
});
