import { describe, expect, it } from 'vitest';
import type { Resource } from '../../../shared/resources/resource.ts';
import { parseMeshConfig } from '../mesh-config.ts';
import { MeshIndex } from '../mesh-index.ts';

const vs = (name: string, spec: object, created = '2026-01-01T00:00:00Z'): Resource => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'VirtualService',
  metadata: { name, namespace: 'shop', creationTimestamp: created },
  spec,
});
const to = (host: string) => [{ route: [{ destination: { host } }] }];
const mesh = (index: MeshIndex, removed: Resource[], added: Resource[]) => index.apply({ removed, added }, 1).view;

describe('the route forms of VirtualServices', () => {
  it('have full names, the defaults of the mesh, and no delegates among them', () => {
    const settings = parseMeshConfig('defaultVirtualServiceExportTo: ["."]');
    const index = new MeshIndex({ settings });
    const { routes } = mesh(
      index,
      [],
      [
        vs('cart', {
          hosts: ['cart', '*.example.com'],
          gateways: ['edge', './inner', 'infra/outer', 'mesh'],
          http: [
            { match: [{ gateways: ['edge'] }], route: [{ destination: { host: 'cart' } }], mirror: { host: 'copy' } },
          ],
          tcp: [{ match: [{ gateways: ['mesh'] }], route: [{ destination: { host: 'db' } }] }],
        }),
        vs('part', { http: to('a') }),
      ],
    );
    expect(routes).toMatchObject([
      {
        hosts: ['cart.shop.svc.cluster.local', '*.example.com'],
        gateways: ['shop/edge', 'shop/inner', 'infra/outer', 'mesh'],
        exportTo: ['.'],
        precedence: 'istio',
        http: [
          {
            match: [{ gateways: ['shop/edge'] }],
            route: [{ destination: { host: 'cart.shop.svc.cluster.local' } }],
            mirror: { host: 'copy.shop.svc.cluster.local' },
          },
        ],
        tcp: [{ route: [{ destination: { host: 'db.shop.svc.cluster.local' } }] }],
      },
    ]);
  });

  it('are bound to the mesh where no gateway is named', () => {
    const { routes } = mesh(new MeshIndex(), [], [vs('a', { hosts: ['a.example'] })]);
    expect(routes[0]?.gateways).toEqual(['mesh']);
  });

  it('are the same objects until they, their delegates or the settings change', () => {
    const index = new MeshIndex();
    const root = vs('root', { hosts: ['r.example'], http: [{ delegate: { name: 'part' } }] }, '2026-01-02T00:00:00Z');
    const part = vs('part', { http: to('a') });
    const other = vs('other', { hosts: ['o.example'], http: to('o') });
    const first = mesh(index, [], [root, part, other]);
    expect(first.routes.map(({ origin }) => origin.resource.metadata.name)).toEqual(['other', 'root']);

    const service = { ...vs('a', { hosts: ['s.example'], ports: [], resolution: 'DNS' }), kind: 'ServiceEntry' };
    expect(mesh(index, [], [service]).routes).toBe(first.routes);

    const changedPart = vs('part', { http: to('b') });
    const second = mesh(index, [part], [changedPart]);
    expect(second.routes[0]).toBe(first.routes[0]);
    expect(second.routes[1]).not.toBe(first.routes[1]);
    expect(second.routes[1]?.http[0]?.route?.[0]?.destination.host).toBe('b.shop.svc.cluster.local');

    const unrelated = vs('unrelated', { http: to('c') });
    expect(mesh(index, [], [unrelated]).routes).toBe(second.routes);

    const without = mesh(index, [changedPart], []);
    expect(without.routes[1]?.http).toEqual([]);
    expect(without.routes[1]?.withoutEffect).toHaveLength(1);
    expect(mesh(index, [other], []).routes).toEqual([without.routes[1]]);
  });
});
