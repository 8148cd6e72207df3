import { describe, expect, it } from 'vitest';
import type { Resource } from '../../../shared/resources/resource.ts';
import type { Node } from '../../../shared/xds/core.ts';
import { SCHEMAS } from '../../../shared/xds/discovery.ts';
import { buildView } from '../../mesh/build-view.ts';
import type { MeshView } from '../../mesh/view.ts';
import { compileNode, compileWithNotes } from './node.ts';

const KINDS: Record<string, string> = { ServiceEntry: 'networking.istio.io/v1', Gateway: 'networking.istio.io/v1' };
function resource(kind: string, name: string, body: object, namespace = 'default'): Resource {
  return { apiVersion: KINDS[kind] ?? 'v1', kind, metadata: { name, namespace }, ...body } as Resource;
}
function service(name: string, port: number, address: string, protocol = 'HTTP'): Resource {
  return resource('ServiceEntry', name, {
    spec: {
      hosts: [`${name}.default.svc.cluster.local`],
      location: 'MESH_INTERNAL',
      resolution: 'STATIC',
      ports: [{ number: port, name: protocol.toLowerCase(), protocol }],
      endpoints: [{ address, labels: { app: name }, serviceAccount: name }],
    },
  });
}
function node(app: string, ip: string, metadata: Record<string, string> = {}): Node {
  return {
    id: `sidecar~${ip}~${app}.default~default.svc.cluster.local`,
    metadata: { SERVICE_ACCOUNT: app, LABELS: { app }, INTERCEPTION_MODE: 'NONE', ...metadata },
  };
}
const shop = buildView([service('reviews', 9080, '127.0.0.2'), service('ratings', 9081, '127.0.0.3')], 7);
const names = (items: { name?: string }[]) => items.map((item) => item.name);

describe('a sidecar without capture', () => {
  it('binds its own ports, one listener for each port of the services it calls, and the HTTP proxy', () => {
    const snapshot = compileNode(shop, node('reviews', '127.0.0.2', { HTTP_PROXY_PORT: '15080' }));
    expect(names(snapshot.listeners)).toEqual(['127.0.0.1_15080', '127.0.0.1_9081', '127.0.0.2_9080']);
    expect(names(snapshot.routes)).toEqual(['9081', 'http_proxy']);
    const domains = snapshot.routes.find((item) => item.name === 'http_proxy')?.virtualHosts?.flatMap((h) => h.domains);
    expect(domains).toContain('ratings:9081');
    expect(domains).toContain('ratings.default.svc.cluster.local:9081');
    expect(domains).not.toContain('ratings');
    for (const type of ['listeners', 'routes', 'clusters', 'endpoints'] as const)
      for (const item of snapshot[type]) expect(SCHEMAS[type].safeParse(item).error?.message).toBeUndefined();
  });

  it('binds outbound listeners to OUTBOUND_BIND, the HTTP proxy to loopback all the same', () => {
    const metadata = { HTTP_PROXY_PORT: '15080', OUTBOUND_BIND: '127.0.9.9' };
    const snapshot = compileNode(shop, node('reviews', '127.0.0.2', metadata));
    expect(names(snapshot.listeners)).toEqual(['127.0.0.1_15080', '127.0.0.2_9080', '127.0.9.9_9081']);
  });

  it('hands to the application port that APP_PORTS names, by port name or number', () => {
    for (const key of ['http', '9080']) {
      const snapshot = compileNode(shop, node('reviews', '127.0.0.2', { APP_PORTS: JSON.stringify({ [key]: 18080 }) }));
      const inbound = snapshot.clusters.find((item) => item.name === 'inbound|9080||');
      const endpoint = inbound?.loadAssignment?.endpoints?.[0]?.lbEndpoints?.[0]?.endpoint?.address;
      expect(endpoint).toEqual({ socketAddress: { address: '127.0.0.1', portValue: 18080 } });
    }
  });

  it('sniffs the port of a Sidecar’s ingress that declares no protocol, whatever its name, as istiod does', () => {
    const detects = (port: object) => {
      const sidecar = resource('Sidecar', 'reviews', {
        spec: { workloadSelector: { labels: { app: 'reviews' } }, ingress: [{ port: { number: 7000, ...port } }] },
      });
      const view = buildView([service('reviews', 9080, '127.0.0.2'), sidecar], 1);
      const { listeners } = compileNode(view, node('reviews', '127.0.0.2'));
      const found = listeners.find(({ name }) => name === '127.0.0.2_7000');
      return names(found?.listenerFilters ?? []).includes('envoy.filters.listener.http_inspector');
    };
    expect(detects({ name: 'tcp' })).toBe(true);
    expect(detects({ name: 'tcp', protocol: '' })).toBe(true);
    expect(detects({ name: 'http', protocol: 'tcp' })).toBe(false);
  });

  describe('has no outbound listener on a port that a workload of its host serves', () => {
    const outbound = (view: MeshView, of: Node) => {
      const { snapshot, notes } = compileWithNotes(view, of);
      const listeners = snapshot.listeners.filter((item) => item.trafficDirection === 'OUTBOUND');
      return { ports: listeners.map((item) => item.address.socketAddress?.portValue), notes };
    };
    const others = [8080, 8081, 9080, 9090].map((port) => service(`other-${port}`, port, '10.0.0.9'));
    const databases = [5432, 6379].map((port) => service(`db-${port}`, port, '10.0.0.9', 'TCP'));
    const mapped = (address: string, ports: Record<string, number>) =>
      resource('ServiceEntry', 'mapped', {
        spec: {
          hosts: ['mapped.default.svc.cluster.local'],
          location: 'MESH_INTERNAL',
          resolution: 'STATIC',
          ports: [{ number: 9080, name: 'http', protocol: 'HTTP' }],
          endpoints: [{ address, ports, labels: { app: 'mapped' }, serviceAccount: 'mapped' }],
        },
      });

    it.each([
      ['where service and application port are equal', {}, {}, [8080, 8081, 9090]],
      ['the port of the workload, of the service and of the application', { http: 8080 }, { http: 9090 }, [8081]],
      ['application ports by number', { http: 8080 }, { 8080: 8081 }, [9090]],
    ])('%s', (_, ports, apps, expected) => {
      const view = buildView([...others, mapped('10.0.0.5', ports)], 1);
      const binds: Record<string, string>[] = [{}, { OUTBOUND_BIND: '127.1.2.3' }];
      for (const bind of binds) {
        const of = node('mapped', '10.0.0.5', { APP_PORTS: JSON.stringify(apps), ...bind });
        expect(outbound(view, of).ports).toEqual(expected);
      }
    });

    it('the application port of a Sidecar’s ingress', () => {
      const sidecar = resource('Sidecar', 'mapped', {
        spec: {
          workloadSelector: { labels: { app: 'mapped' } },
          ingress: [
            { port: { number: 9080, protocol: 'HTTP', name: 'http' }, defaultEndpoint: '127.0.0.1:9090' },
            { port: { number: 8081, protocol: 'HTTP', name: 'more' }, defaultEndpoint: 'unix:///run/app.sock' },
          ],
        },
      });
      const view = buildView([...others, mapped('10.0.0.5', {}), sidecar], 1);
      expect(outbound(view, node('mapped', '10.0.0.5')).ports).toEqual([8080]);
    });

    it('a port of another workload at the same address, of any namespace, and no port of other hosts', () => {
      const redis = resource('ServiceEntry', 'redis', { ...service('redis', 6379, '10.0.0.5', 'TCP') }, 'db');
      const dns = service('dns', 5432, '10.0.0.5', 'UDP');
      const view = buildView([...others, ...databases, mapped('10.0.0.5', {}), redis, dns], 1);
      expect(outbound(view, node('mapped', '10.0.0.5')).ports).toEqual([5432, 8080, 8081, 9090]);
    });

    it('the HTTP proxy’s own port', () => {
      const view = buildView([mapped('10.0.0.5', {})], 1);
      const { ports, notes } = outbound(view, node('mapped', '10.0.0.5', { HTTP_PROXY_PORT: '9080' }));
      expect(ports).toEqual([]);
      expect(notes).toContain(
        'no outbound listener 127.0.0.1_9080: a workload of this host serves port 9080; choose another HTTP_PROXY_PORT',
      );
    });

    it('and says so, with the remedy', () => {
      const own = service('own-db', 6379, '10.0.0.5', 'TCP');
      const view = buildView([...others, ...databases, mapped('10.0.0.5', {}), own], 1);
      const { notes } = outbound(view, node('mapped', '10.0.0.5', { OUTBOUND_BIND: '127.1.2.3' }));
      expect(notes.filter((note) => note.startsWith('no outbound listener'))).toEqual([
        'no outbound listener 127.1.2.3_9080: a workload of this host serves port 9080; call HTTP services on it through the HTTP proxy (--http-proxy-port)',
        'no outbound listener 127.1.2.3_6379: a workload of this host serves port 6379; to call db-6379.default.svc.cluster.local, own-db.default.svc.cluster.local, run the caller on another host, or change one of the ports',
      ]);
    });
  });

  it('takes only its own endpoint where workloads share a loopback address', () => {
    const view = buildView([service('a', 9001, '127.0.0.1'), service('b', 9002, '127.0.0.1')], 1);
    const snapshot = compileNode(view, node('b', '127.0.0.1', { OUTBOUND_BIND: '127.0.0.9' }));
    expect(names(snapshot.clusters).filter((name) => name?.startsWith('inbound'))).toEqual(['inbound|9002||']);
    expect(names(snapshot.listeners)).toEqual(['127.0.0.1_9002']);
  });

  it('refuses a node it cannot tell apart, and metadata that is malformed', () => {
    expect(() => compileNode(shop, { id: 'reviews' })).toThrow('sidecar~');
    expect(() => compileNode(shop, node('reviews', '127.0.0.2', { APP_PORTS: '[1]' }))).toThrow('APP_PORTS');
    expect(() => compileNode(shop, node('reviews', '127.0.0.2', { HTTP_PROXY_PORT: '70000' }))).toThrow(
      'HTTP_PROXY_PORT',
    );
    expect(() => compileNode(shop, node('reviews', '127.0.0.2', { INTERCEPTION_MODE: 'none' }))).toThrow(
      'INTERCEPTION',
    );
  });

  it('is deterministic', () => {
    const one = JSON.stringify(compileNode(shop, node('reviews', '127.0.0.2')));
    expect(JSON.stringify(compileNode(shop, node('reviews', '127.0.0.2')))).toBe(one);
  });
});

describe('gateway credentials', () => {
  const gateway = resource(
    'Gateway',
    'gw',
    {
      spec: {
        selector: { istio: 'ingress' },
        servers: [
          {
            port: { number: 443, name: 'https', protocol: 'HTTPS' },
            hosts: ['shop.example.com'],
            tls: { mode: 'SIMPLE', credentialName: 'shop-tls' },
          },
        ],
      },
    },
    'edge',
  );
  const secret = (namespace: string) =>
    resource(
      'Secret',
      'shop-tls',
      { type: 'kubernetes.io/tls', data: { 'tls.crt': 'Y2VydA==', 'tls.key': 'a2V5' } },
      namespace,
    );
  const router: Node = {
    id: 'router~10.0.0.9~ingress.edge~edge.svc.cluster.local',
    metadata: { LABELS: { istio: 'ingress' }, NAMESPACE: 'edge' },
  };

  it('come from the gateway’s own namespace only', () => {
    const own = compileNode(buildView([gateway, secret('edge')], 1), router);
    expect(names(own.secrets)).toEqual(['kubernetes://shop-tls']);
    const foreign = compileWithNotes(buildView([gateway, secret('default')], 1), router);
    expect(foreign.snapshot.secrets).toEqual([]);
    expect(foreign.notes.join()).toContain('kubernetes://shop-tls');
  });

  it('never go to a sidecar', () => {
    const view = buildView([gateway, secret('edge'), secret('default')], 1);
    const sidecar = compileNode(view, {
      ...node('x', '10.0.0.1'),
      id: 'sidecar~10.0.0.1~x.edge~edge.svc.cluster.local',
    });
    expect(sidecar.secrets).toEqual([]);
    expect(JSON.stringify(sidecar)).not.toContain('a2V5');
  });
});
