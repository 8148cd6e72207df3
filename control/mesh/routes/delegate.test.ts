import { describe, expect, it } from 'vitest';
import type { ResourceOfKind } from '../../../shared/resources/registry.ts';
import type { HttpMatchRequest, HttpRoute } from '../../../shared/resources/schema/virtual-service.ts';
import { mergeRule, rulesWithDelegates } from './delegate.ts';

type VirtualService = ResourceOfKind<'VirtualService'>;

const vs = (name: string, namespace: string, spec: object): VirtualService => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'VirtualService',
  metadata: { name, namespace },
  spec,
});
const to = (host: string) => [{ destination: { host } }];
const matches = (root: HttpMatchRequest[], leaf: HttpMatchRequest[]) =>
  mergeRule({ match: root }, { match: leaf, route: to('a') })?.match;

describe('matches of root and delegate', () => {
  const uri = (match: object) => [{ uri: match }];

  it('narrow each other', () => {
    expect(matches([], uri({ prefix: '/a' }))).toEqual(uri({ prefix: '/a' }));
    expect(matches(uri({ prefix: '/a' }), [])).toEqual(uri({ prefix: '/a' }));
    expect(matches(uri({ prefix: '/a' }), uri({ prefix: '/a/b' }))).toEqual(uri({ prefix: '/a/b' }));
    expect(matches(uri({ prefix: '/a' }), uri({ exact: '/a/b' }))).toEqual(uri({ exact: '/a/b' }));
    const both = matches(
      [{ name: 'r', uri: { prefix: '/a' }, headers: { x: { exact: '1' } }, gateways: ['n/g', 'mesh'], port: 80 }],
      [{ name: 'd', method: { exact: 'GET' }, headers: { y: { exact: '2' } }, gateways: ['mesh'] }],
    );
    expect(both).toEqual([
      {
        name: 'r-d',
        uri: { prefix: '/a' },
        method: { exact: 'GET' },
        headers: { x: { exact: '1' }, y: { exact: '2' } },
        gateways: ['mesh'],
        port: 80,
      },
    ]);
  });

  it('multiply where one lies within several', () => {
    const root = [{ uri: { prefix: '/a' } }, { port: 80 }];
    expect(matches(root, uri({ prefix: '/a/b' }))).toEqual([
      { uri: { prefix: '/a/b' } },
      { uri: { prefix: '/a/b' }, port: 80 },
    ]);
  });

  it.each<[HttpMatchRequest, HttpMatchRequest]>([
    [{ uri: { prefix: '/a/b' } }, { uri: { prefix: '/a' } }],
    [{ uri: { exact: '/a' } }, { uri: { prefix: '/a' } }],
    [{ uri: { exact: '/a' } }, { uri: { exact: '/b' } }],
    [{ uri: { regex: '/a.*' } }, { uri: { exact: '/ab' } }],
    [{ uri: { prefix: '/a' } }, { uri: { regex: '/a.*' } }],
    [{ headers: { x: { exact: '1' } } }, { headers: { x: { exact: '2' } } }],
    [{ withoutHeaders: { x: {} } }, { withoutHeaders: { x: {} } }],
    [{ queryParams: { x: { exact: '1' } } }, { queryParams: { x: { exact: '2' } } }],
    [{ port: 80 }, { port: 81 }],
    [{ sourceLabels: { a: 'b' } }, { sourceLabels: { a: 'c' } }],
    [{ sourceNamespace: 'a' }, { sourceNamespace: 'b' }],
    [{ ignoreUriCase: true }, { uri: { prefix: '/' } }],
    [{ gateways: ['n/a'] }, { gateways: ['n/a', 'n/b'] }],
  ])('%j and %j conflict', (root, leaf) => {
    expect(matches([root], [leaf])).toBeUndefined();
    // One that lies in none of the root's matches spoils the whole rule.
    expect(matches([root], [leaf, {}])).toBeUndefined();
  });
});

describe('rulesWithDelegates', () => {
  const root = (http: HttpRoute[], spec: object = {}) => vs('root', 'shop', { hosts: ['shop.example'], http, ...spec });
  const run = (of: VirtualService, all: VirtualService[]) => {
    const notes: string[] = [];
    const find = (key: string) =>
      all.find(({ metadata, spec }) => `${metadata.namespace}/${metadata.name}` === key && !spec?.hosts);
    const note = (line: string) => void notes.push(line);
    return { http: rulesWithDelegates(of, { find, domainSuffix: 'cluster.local', note }), notes };
  };

  it('puts the rules of the delegate in the place of the one that delegates', () => {
    const { http, notes } = run(
      root([
        { name: 'first', route: to('front') },
        {
          name: 'team',
          match: [{ uri: { prefix: '/reviews' } }],
          delegate: { name: 'reviews', namespace: 'team' },
          timeout: '3s',
          headers: { request: { set: { a: 'root' } } },
        },
        { route: to('last') },
      ]),
      [
        vs('reviews', 'team', {
          http: [
            { name: 'v2', match: [{ uri: { prefix: '/reviews/v2' } }], route: to('reviews-v2'), timeout: '1s' },
            { match: [{ uri: { prefix: '/elsewhere' } }], route: to('x') },
            { route: to('reviews'), mirror: { host: 'copy' }, headers: { request: { set: { a: 'leaf' } } } },
          ],
        }),
      ],
    );
    expect(http).toEqual([
      { name: 'first', route: to('front.shop.svc.cluster.local') },
      {
        name: 'team-v2',
        match: [{ uri: { prefix: '/reviews/v2' } }],
        route: to('reviews-v2.team.svc.cluster.local'),
        timeout: '1s',
        headers: { request: { set: { a: 'root' } } },
      },
      {
        name: 'team',
        match: [{ uri: { prefix: '/reviews' } }],
        route: to('reviews.team.svc.cluster.local'),
        mirror: { host: 'copy.team.svc.cluster.local' },
        timeout: '3s',
        headers: { request: { set: { a: 'leaf' } } },
      },
      { route: to('last.shop.svc.cluster.local') },
    ]);
    expect(notes).toEqual([
      'spec.http[1]: no request can match it and spec.http[1] of its delegate team/reviews: left out',
    ]);
  });

  it('leaves out a rule whose delegate is missing, has hosts or is not exported, and says so', () => {
    const rule = { delegate: { name: 'd', namespace: 'team' } };
    const http = [{ route: to('a') }];
    for (const all of [[], [vs('d', 'team', { hosts: ['a'], http })], [vs('d', 'shop', { http })]]) {
      const found = run(root([rule]), all);
      expect(found).toEqual({
        http: [],
        notes: ['spec.http[0].delegate: there is no VirtualService team/d without hosts: the rule has no effect'],
      });
    }
    const kept = run(root([rule]), [vs('d', 'team', { http, exportTo: ['.'] })]);
    expect(kept.http).toEqual([]);
    expect(kept.notes[0]).toContain('VirtualService team/d is not exported to namespace shop');
    expect(run(root([rule]), [vs('d', 'team', { http, exportTo: ['shop'] })]).http).toHaveLength(1);
  });

  it('takes the delegate of its own namespace where none is named', () => {
    const { http } = run(root([{ delegate: { name: 'd' } }]), [vs('d', 'shop', { http: [{ route: to('a') }] })]);
    expect(http).toEqual([{ route: to('a.shop.svc.cluster.local') }]);
  });
});
