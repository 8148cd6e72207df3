/** Services of type ExternalName: the names by which they lead to the service that they are aliases of. */
import { describe, expect, it } from 'vitest';
import type { Resource } from '../../../shared/resources/resource.ts';
import { buildView } from '../../mesh/build-view.ts';
import { compileWithNotes } from '../node/node.ts';

const NODE = { id: 'sidecar~10.0.0.1~a.shop~shop.svc.cluster.local', metadata: { NAMESPACE: 'shop' } };
const ROUTER = { id: 'router~10.0.0.9~gw.shop~shop.svc.cluster.local', metadata: { LABELS: { app: 'gw' } } };

const service = (name: string, spec: object, namespace = 'shop'): Resource => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace },
  spec,
});
const alias = (name: string, externalName: string, namespace?: string) =>
  service(name, { type: 'ExternalName', externalName }, namespace);
const istio = (kind: string, name: string, spec: object): Resource => ({
  apiVersion: 'networking.istio.io/v1',
  kind,
  metadata: { name, namespace: 'shop' },
  spec,
});
const port = (number: number, name: string) => ({ port: number, name });
const WEB = service('web', { clusterIP: '10.96.0.1', ports: [port(80, 'http'), port(443, 'tls')] });
const HOST = 'web.shop.svc.cluster.local';

const compiled = (resources: readonly Resource[], node: object = NODE) =>
  compileWithNotes(buildView(resources, 1), node as typeof NODE).snapshot;

/** The services that have clusters. */
const called = (...resources: Resource[]) =>
  new Set(
    compiled(resources).clusters.flatMap(({ name }) => (name.startsWith('outbound|') ? name.split('|')[3]! : [])),
  );
/** The domains of each virtual host at port 80. */
const domains = (...resources: Resource[]) =>
  Object.fromEntries(
    (compiled(resources).routes?.find(({ name }) => name === '80')?.virtualHosts ?? []).map((host) => [
      host.name,
      host.domains,
    ]),
  );
const namesOf = (name: string) => [
  `${name}.shop.svc.cluster.local`,
  `${name}.shop.svc.cluster.local.`,
  name,
  `${name}.shop.svc`,
  `${name}.shop`,
];

describe('an ExternalName Service that names a service', () => {
  it('gives it further domains, and has no clusters of its own', () => {
    expect(domains(WEB, alias('shop-web', `${HOST}.`))[`${HOST}:80`]).toEqual([
      ...namesOf('web'),
      '10.96.0.1',
      ...namesOf('shop-web'),
    ]);
    expect(called(WEB, alias('shop-web', HOST))).toEqual(new Set([HOST]));
  });

  it('may be of another namespace', () => {
    expect(domains(WEB, alias('front', HOST, 'bank'))[`${HOST}:80`]).toEqual([
      ...namesOf('web'),
      '10.96.0.1',
      'front.bank.svc.cluster.local',
      'front.bank.svc.cluster.local.',
      'front.bank.svc',
      'front.bank',
    ]);
  });

  it('may name it by way of other aliases', () => {
    const found = domains(WEB, alias('first', 'second.shop.svc.cluster.local'), alias('second', HOST));
    expect(found[`${HOST}:80`]).toEqual(expect.arrayContaining(['first', 'second']));
    expect(Object.keys(found)).toEqual([`${HOST}:80`, 'allow_any']);
  });

  it('is a server name of a TLS service that shares its listener', () => {
    const headless = service('web', { clusterIP: 'None', ports: [port(443, 'tls')] });
    const { listeners } = compiled([headless, alias('shop-web', HOST)]);
    const chains = listeners.find(({ name }) => name === '0.0.0.0_443')?.filterChains ?? [];
    expect(chains.map(({ filterChainMatch }) => filterChainMatch?.serverNames)).toEqual([
      [HOST, ...namesOf('shop-web').filter((name) => !name.endsWith('.'))],
    ]);
  });

  it('is taken in by a Sidecar by its own name', () => {
    const only = (...hosts: string[]) =>
      domains(WEB, alias('one', HOST), alias('two', HOST), istio('Sidecar', 'default', { egress: [{ hosts }] }))[
        `${HOST}:80`
      ];
    expect(only('./*')).toEqual(expect.arrayContaining(['one', 'two']));
    expect(only(`./${HOST}`, './two.shop.svc.cluster.local')).toEqual([
      ...namesOf('web'),
      '10.96.0.1',
      ...namesOf('two'),
    ]);
  });

  it('leaves its endpoints where a gateway passes TLS on', () => {
    const slice: Resource = {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name: 'web-1', namespace: 'shop', labels: { 'kubernetes.io/service-name': 'web' } },
      addressType: 'IPv4',
      endpoints: [{ addresses: ['10.0.0.5'], conditions: { ready: true } }],
      ports: [{ name: 'http', port: 8080 }],
    } as Resource;
    const gateway = istio('Gateway', 'gw', {
      selector: { app: 'gw' },
      servers: [
        {
          port: { number: 15443, name: 'tls', protocol: 'TLS' },
          hosts: ['*.local'],
          tls: { mode: 'AUTO_PASSTHROUGH' },
        },
      ],
    });
    const endpointsOf = (...more: Resource[]) =>
      compiled([WEB, slice, gateway, ...more], ROUTER)
        .endpoints?.filter(({ clusterName }) => clusterName.startsWith('outbound_.80'))
        .flatMap(({ endpoints = [] }) => endpoints.flatMap(({ lbEndpoints = [] }) => lbEndpoints));
    expect(endpointsOf()).toHaveLength(1);
    expect(endpointsOf(alias('shop-web', HOST))).toEqual(endpointsOf());
  });
});

describe('an ExternalName Service that names no service', () => {
  const ports = [port(80, 'http')];

  it('looks the name up', () => {
    const outside = service('out', { type: 'ExternalName', externalName: 'out.example.com', ports });
    const cluster = compiled([outside]).clusters.find(({ name }) => name === 'outbound|80||out.shop.svc.cluster.local');
    expect(cluster).toMatchObject({ type: 'STRICT_DNS' });
  });

  it('may lead back to itself', () => {
    const one = service('one', { type: 'ExternalName', externalName: 'two.shop.svc.cluster.local', ports });
    const two = service('two', { type: 'ExternalName', externalName: 'one.shop.svc.cluster.local', ports });
    expect(called(one, two)).toEqual(new Set(['one.shop.svc.cluster.local', 'two.shop.svc.cluster.local']));
  });
});

it('a VirtualService for an alias holds for its full name alone', () => {
  const rules = istio('VirtualService', 'rules', {
    hosts: ['shop-web.shop.svc.cluster.local'],
    http: [{ name: 'ruled', route: [{ destination: { host: HOST } }] }],
  });
  expect(domains(WEB, alias('shop-web', HOST), rules)).toEqual({
    [`${HOST}:80`]: [
      ...namesOf('web'),
      '10.96.0.1',
      ...namesOf('shop-web').filter((name) => name !== 'shop-web.shop.svc.cluster.local'),
    ],
    'shop-web.shop.svc.cluster.local:80': ['shop-web.shop.svc.cluster.local'],
    allow_any: ['*'],
  });
});
