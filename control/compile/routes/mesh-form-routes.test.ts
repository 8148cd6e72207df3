import { expect, it } from 'vitest';
import type { Resource } from '../../../shared/resources/resource.ts';
import type { VirtualHost } from '../../../shared/xds/route.ts';
import { MeshIndex } from '../../mesh/mesh-index.ts';
import type { MeshView } from '../../mesh/view.ts';
import { compileInSlices } from '../node/node.ts';
import { inOneGo } from '../output/compiled-node.ts';
import type { SharedResource } from '../output/shared-resource.ts';

const SERVICES = 60;

const resource = (kind: string, name: string, spec: object) =>
  ({
    apiVersion: 'networking.istio.io/v1',
    kind,
    metadata: { name, namespace: 'shop' },
    spec,
  }) as unknown as Resource;

const service = (n: number) =>
  resource('ServiceEntry', `s${n}`, {
    hosts: [`s${n}.example`],
    ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
    resolution: 'STATIC',
    endpoints: [{ address: `10.0.0.${n + 1}` }],
  });

const routed = (n: number, http: object[], hosts = [`s${n}.example`]) =>
  resource('VirtualService', `v${n}`, { hosts, http });
const to = (host: string, more: object = {}) => ({ route: [{ destination: { host } }], ...more });
/** No destination has a weight. */
const broken = { route: ['s1.example', 's2.example'].map((host) => ({ destination: { host }, weight: 0 })) };

/** The mesh after `base` and then these writes, one after the other; a proxy is compiled after each. */
function meshAfter(...writes: Resource[]): MeshView {
  const index = new MeshIndex();
  const known = new Map(base.map((item) => [item.metadata.name, item]));
  let { view } = index.apply({ removed: [], added: base }, 1);
  compiled(view);
  for (const [i, written] of writes.entries()) {
    view = index.apply({ removed: [known.get(written.metadata.name)!], added: [written] }, i + 2).view;
    known.set(written.metadata.name, written);
    compiled(view);
  }
  return view;
}

const node = (labels: Record<string, string> = {}) => ({
  id: 'sidecar~10.9.0.1~web.shop~shop.svc.cluster.local',
  metadata: { NAMESPACE: 'shop', INTERCEPTION_MODE: 'NONE', HTTP_PROXY_PORT: '15080', LABELS: labels },
  clientFeatures: ['tulle.virtual-hosts', 'tulle.on-demand'],
});

function compiled(view: MeshView, labels?: Record<string, string>) {
  return inOneGo(compileInSlices(view, node(labels)));
}

const hostsIn = (view: MeshView): ReadonlyMap<string, SharedResource> =>
  new Map([...compiled(view).sets.virtualHosts.values()].map((host) => [host.name, host]));

const services = Array.from({ length: SERVICES }, (_, n) => service(n));
const base = [...services, routed(1, [to('s1.example')]), routed(2, [to('s2.example', { timeout: '1s' })])];

/** After these writes the proxy has what it would have of the last resources alone, and keeps other hosts by identity. */
function expectReplaced(change: Resource): void {
  const last = new Map([...base, change].map((written) => [written.metadata.name, written]));
  const { sets, errors } = compiled(meshAfter(change));
  const fresh = new MeshIndex().apply({ removed: [], added: [...last.values()] }, 1).view;
  const whole = compiled(fresh);
  for (const type of ['routes', 'virtualHosts', 'hosts'] as const) {
    const of = (all: Iterable<SharedResource>) => [...all].map(({ name, version }) => `${name} ${version}`).sort();
    expect(of(sets[type].values()), type).toEqual(of(whole.sets[type].values()));
  }
  expect(errors.map(({ message }) => message)).toEqual(whole.errors.map(({ message }) => message));
}

it.each([
  ['other rules', routed(1, [to('s3.example', { timeout: '5s' }), to('s1.example')])],
  ['fewer rules that concern a proxy', routed(1, [to('s1.example', { match: [{ sourceLabels: { app: 'other' } }] })])],
  ['a rule that cannot be translated', routed(1, [broken])],
  ['other hosts', routed(1, [to('s1.example')], ['s1.example', 's2.example'])],
  ['a wildcard', routed(1, [to('s1.example')], ['*.example'])],
  [
    'other gateways',
    resource('VirtualService', 'v1', { hosts: ['s1.example'], gateways: ['g'], http: [to('s1.example')] }),
  ],
])('gives what compiling from scratch gives after a VirtualService has %s', (_, change) => {
  expectReplaced(change);
});

it('forgets findings of rules that were corrected, and keeps those of others', () => {
  const good = [to('s1.example')];
  const view = meshAfter(routed(1, [broken]), routed(2, [broken]), routed(1, good));
  expect(compiled(view).errors.map(({ about }) => about.metadata.name)).toEqual(['v2']);
});

it('makes again only the virtual hosts that the changed rules shape', () => {
  const before = hostsIn(meshAfter());
  const after = hostsIn(meshAfter(routed(1, [to('s1.example', { timeout: '9s' })])));
  expect(after.size).toBe(before.size);
  const changed = [...after].filter(([name, host]) => before.get(name)?.version !== host.version);
  expect(changed.map(([name]) => name).sort()).toEqual(['80/s1.example:80', 'http_proxy/s1.example:80']);
  for (const [, host] of changed) {
    const [route] = (host.resource as VirtualHost).routes!;
    expect(route!.route!.timeout).toBe('9s');
  }
});

it('looks at no other host than the changed one', () => {
  const index = new MeshIndex();
  const first = index.apply({ removed: [], added: base }, 1).view;
  const old = compiled(first);
  const [was] = first.resources('VirtualService').filter(({ metadata }) => metadata.name === 'v1');
  const next = routed(1, [to('s1.example', { timeout: '7s' })]);
  const steps = (view: MeshView) => {
    const work = compileInSlices(view, node());
    let count = 0;
    while (!work.next().done) count++;
    return count;
  };
  const { view } = index.apply({ removed: [was!], added: [next] }, 2);
  expect(steps(view)).toBeLessThan(SERVICES / 2);
  const now = compiled(view);
  // The index of hosts, the configurations and what is eager are the very same.
  expect(now.sets.hosts.last).toBe(old.sets.hosts.last);
  expect(now.sets.routes.isSame(old.sets.routes)).toBe(true);
  expect(now.eager).toEqual(old.eager);
});
