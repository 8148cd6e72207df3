/** At which ports a gateway listens: by its Services, and by those that a Gateway names. */
import { describe, expect, it } from 'vitest';
import type { Resource } from '../../../shared/resources/resource.ts';
import { buildView } from '../../mesh/build-view.ts';
import { compileInSlices, compileWithNotes } from '../node/node.ts';
import { inOneGo } from '../output/compiled-node.ts';

const NODE = { id: 'router~10.0.0.9~gw.edge~edge.svc.cluster.local', metadata: { LABELS: { app: 'gw' } } };

const resource = (kind: string, metadata: object, spec: object): Resource =>
  ({ apiVersion: 'networking.istio.io/v1', kind, metadata: { namespace: 'edge', ...metadata }, spec }) as Resource;

/** A Service with the gateway behind it. @param targets port -> target port */
const exposing = (name: string, targets: Record<number, number>, metadata: object = {}) =>
  resource(
    'ServiceEntry',
    { name, ...metadata },
    {
      hosts: [`${name}.example`],
      resolution: 'STATIC',
      location: 'MESH_INTERNAL',
      ports: Object.entries(targets).map(([number, targetPort]) => ({
        number: Number(number),
        targetPort,
        name: `http-${number}`,
        protocol: 'HTTP',
      })),
      endpoints: [{ address: '10.0.0.9', labels: { app: 'gw' } }],
    },
  );

interface Written {
  readonly name?: string;
  readonly selector?: Record<string, string>;
  /** Annotation internal.istio.io/gateway-service. */
  readonly services?: string;
  readonly tls?: object;
}

function gateway(ports: readonly number[], { name = 'gw', selector, services, tls }: Written = {}): Resource {
  const annotations = services === undefined ? {} : { annotations: { 'internal.istio.io/gateway-service': services } };
  const servers = ports.map((number) => ({
    port: { number, name: `p-${number}`, protocol: tls ? 'HTTPS' : 'HTTP' },
    hosts: ['a.test'],
    ...(tls && { tls }),
  }));
  return resource('Gateway', { name, ...annotations }, { ...(selector && { selector }), servers });
}

const ROUTES = resource(
  'VirtualService',
  { name: 'web' },
  { hosts: ['a.test'], gateways: ['gw', 'gw2'], http: [{ route: [{ destination: { host: 'web' } }] }] },
);

function compiled(...resources: Resource[]) {
  const view = buildView([...resources, ROUTES], 1);
  const { listeners, routes = [] } = compileWithNotes(view, NODE).snapshot;
  const { errors } = inOneGo(compileInSlices(view, NODE));
  return {
    listeners: listeners.map(({ name }) => name),
    routes: routes.map(({ name }) => name),
    errors: errors.map(({ message }) => message),
  };
}

const SELECTOR = { app: 'gw' };

describe('a Gateway that selects by labels', () => {
  it('listens on the target port of the Service port, with servers of both numbers together', () => {
    const found = compiled(exposing('one', { 80: 8080 }), gateway([80, 8080], { selector: SELECTOR }));
    expect(found.listeners).toEqual(['0.0.0.0_8080']);
  });

  it('listens on a port that no Service has', () => {
    const found = compiled(exposing('one', { 80: 8080 }), gateway([80, 82], { selector: SELECTOR }));
    expect(found.listeners).toEqual(['0.0.0.0_8080', '0.0.0.0_82']);
  });

  it('of several Services with the port, listens on the target port of the oldest', () => {
    const older = exposing('two', { 80: 8082 }, { creationTimestamp: '2020-01-01T00:00:00Z' });
    const younger = exposing('one', { 80: 8081 }, { creationTimestamp: '2021-01-01T00:00:00Z' });
    expect(compiled(younger, older, gateway([80], { selector: SELECTOR })).listeners).toEqual(['0.0.0.0_8082']);
  });

  it('passes over a Service whose ports are not translated', () => {
    const kept = { labels: { 'experimental.istio.io/disable-gateway-port-translation': '' } };
    const found = compiled(exposing('one', { 80: 8080 }, kept), gateway([80, 8080], { selector: SELECTOR }));
    expect(found.listeners).toEqual(['0.0.0.0_80', '0.0.0.0_8080']);
  });
});

describe('a Gateway that names Services', () => {
  it('listens on the target ports of all of them, with one route configuration a port', () => {
    const found = compiled(
      exposing('one', { 80: 8081 }),
      exposing('two', { 80: 8082 }),
      exposing('other', { 80: 8083 }),
      gateway([80], { services: 'one.example, two.example' }),
    );
    expect(found).toEqual({
      listeners: ['0.0.0.0_8081', '0.0.0.0_8082'],
      routes: ['http.8081', 'http.8082'],
      errors: [],
    });
  });

  it('has the same routes at every port where it ends TLS', () => {
    const { listeners, routes, errors } = compiled(
      exposing('one', { 443: 8443 }),
      exposing('two', { 443: 9443 }),
      gateway([443], { services: 'one.example,two.example', tls: { mode: 'SIMPLE', credentialName: 'cert' } }),
    );
    expect(listeners).toEqual(['0.0.0.0_8443', '0.0.0.0_9443']);
    expect(routes).toEqual(['https.443.p-443.gw.edge']);
    expect(errors).toEqual([]);
  });

  it('does not listen on a port that they do not have, and says so', () => {
    const found = compiled(exposing('one', { 80: 8080 }), gateway([80, 82], { services: 'one.example' }));
    expect(found.listeners).toEqual(['0.0.0.0_8080']);
    expect(found.errors).toEqual([
      'spec.servers[1]: port 82: no Service that the Gateway names has the port: not served',
    ]);
  });

  it('does not apply to the workloads of other Services, whatever its selector', () => {
    const found = compiled(
      exposing('one', { 80: 8080 }),
      gateway([80], { services: 'two.example', selector: SELECTOR }),
    );
    expect(found.listeners).toEqual([]);
  });

  it('does not apply to Services of other namespaces', () => {
    const named = gateway([80], { services: 'one.example' });
    const elsewhere = { ...named, metadata: { ...named.metadata, namespace: 'shop' } } as Resource;
    expect(compiled(exposing('one', { 80: 8080 }), elsewhere).listeners).toEqual([]);
  });

  it('translates the ports of a Service that opts out for Gateways with a selector', () => {
    const kept = { labels: { 'experimental.istio.io/disable-gateway-port-translation': '' } };
    const found = compiled(exposing('one', { 80: 8080 }, kept), gateway([80], { services: 'one.example' }));
    expect(found.listeners).toEqual(['0.0.0.0_8080']);
  });

  it('listens apart from another Gateway that names another Service for the same port', () => {
    const found = compiled(
      exposing('one', { 80: 8081 }),
      exposing('two', { 80: 8082 }),
      gateway([80], { services: 'one.example' }),
      gateway([80], { name: 'gw2', services: 'two.example' }),
    );
    expect(found).toEqual({
      listeners: ['0.0.0.0_8081', '0.0.0.0_8082'],
      routes: ['http.8081', 'http.8082'],
      errors: [],
    });
  });
});
