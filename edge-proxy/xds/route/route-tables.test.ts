import { describe, expect, it } from 'vitest';
import type { RouteConfiguration, VirtualHost } from '../../../shared/xds/route.ts';
import { HTTP_FILTERS } from '../../http/filters/index.ts';
import { HeaderMap } from '../../http/message/header-map.ts';
import type { RequestContext } from '../../http/request/request-context.ts';
import { Fetches } from '../../upstream/fetches.ts';
import { filterRegistry } from '../filter/filter-registry.ts';
import { compileRouteConfiguration } from './compile-routes.ts';
import { type RouteChanges, RouteTables } from './route-tables.ts';

const DEPS = {
  env: { now: () => 0, monotonicMs: () => 0, random: () => 0 },
  filters: filterRegistry(HTTP_FILTERS),
};
const vhds = { configSource: { ads: {} } };
const host = (name: string, domains: string[], more: Partial<VirtualHost> = {}): VirtualHost => ({
  name,
  domains,
  routes: [{ name: `to-${name}`, match: { prefix: '/' }, route: { cluster: name } }],
  ...more,
});
const broken = (name: string, domains: string[]): VirtualHost => host(name, domains, { routes: [{ match: {} }] });
const request = (authority: string) =>
  ({
    authority,
    path: '/',
    pathWithoutQuery: '/',
    method: 'GET',
    scheme: 'http',
    headers: new HeaderMap(),
  }) as unknown as RequestContext;

function setup(clusters = new Set<string>()) {
  const compileRoutes = (config: RouteConfiguration) => compileRouteConfiguration(config, DEPS);
  const tables = new RouteTables({ clusters, compileRoutes, hosts: DEPS, fetches: new Fetches(DEPS.env) });
  const apply = (
    hosts: VirtualHost[],
    configurations: RouteConfiguration[] = [],
    removedHosts: string[] = [],
  ): Record<string, string> => Object.fromEntries(tables.apply({ hosts, configurations, removedHosts }));
  const match = (authority: string, name = '80') => tables.get(name)?.match(request(authority)) ?? undefined;
  return { tables, apply, match };
}

describe('route tables with separate virtual hosts', () => {
  it('compile the host that changed and keep the others', () => {
    const { apply, match } = setup();
    expect(apply([host('80/a', ['a']), host('80/b', ['b'])], [{ name: '80', vhds }])).toEqual({});
    const [a, b] = [match('a'), match('b')];
    expect([a?.virtualHost, b?.name]).toEqual(['a', 'to-80/b']);
    apply([host('80/b', ['b', 'b2'])]);
    expect(match('a')).toBe(a);
    expect(match('b')).not.toBe(b);
    expect(match('b2')?.virtualHost).toBe('b');
    expect(match('c')).toBeUndefined();
  });

  it('swap a domain from one host to another, and a host that leaves for one that comes, in one step', () => {
    const { apply, match } = setup();
    apply([host('80/a', ['a', 'x']), host('80/any', ['*'])], [{ name: '80', vhds }]);
    expect(apply([host('80/b', ['x']), host('80/a', ['a']), host('80/none', ['*'])], [], ['80/any'])).toEqual({});
    expect(['a', 'x', 'z'].map((name) => match(name)?.virtualHost)).toEqual(['a', 'b', 'none']);
  });

  it('refuse an invalid host alone, also before its configuration has come, and keep its last good version', () => {
    const { apply, match } = setup();
    expect(apply([broken('80/a', ['a']), host('80/b', ['b'])])).toEqual({ 'virtualHosts/80/a': expect.any(String) });
    expect(apply([], [{ name: '80', vhds }])).toEqual({});
    expect([match('a'), match('b')?.virtualHost]).toEqual([undefined, 'b']);
    expect(apply([broken('80/b', ['b'])])).toEqual({ 'virtualHosts/80/b': expect.any(String) });
    expect(match('b')?.virtualHost).toBe('b');
  });

  it('refuse a host that claims the domain of another', () => {
    const { apply, match } = setup();
    apply([host('80/a', ['a'])], [{ name: '80', vhds }]);
    expect(apply([host('80/b', ['b', 'A'])])['virtualHosts/80/b']).toContain('belongs to virtual host "80/a"');
    expect([match('a')?.virtualHost, match('b')]).toEqual(['a', undefined]);
  });

  it.each([[['b', 'B']], [['a*b']]])('refuse a host with the domains %s alone', (domains) => {
    const { apply, match } = setup();
    const violations = apply([host('80/a', ['a']), host('80/b', domains)], [{ name: '80', vhds }]);
    expect(Object.keys(violations)).toEqual(['virtualHosts/80/b']);
    expect(match('a')?.virtualHost).toBe('a');
  });

  it('change between whole and separate configurations without losing a host', () => {
    const { apply, match } = setup();
    const whole: RouteConfiguration = { name: '80', virtualHosts: [host('w', ['a'])] };
    apply([], [whole]);
    apply([host('80/s', ['a'])], [{ name: '80', vhds }]);
    expect(match('a')?.virtualHost).toBe('s');
    // The other way round: the hosts leave in the step in which the whole configuration comes.
    apply([], [whole], ['80/s']);
    expect(match('a')?.virtualHost).toBe('w');
    // An invalid one takes nothing away.
    apply([host('80/s', ['a'])], [{ name: '80', vhds }]);
    apply([], [{ name: '80', virtualHosts: [broken('w', ['a'])] }], ['80/s']);
    expect(match('a')?.virtualHost).toBe('s');
  });

  it('take a new version of the configuration for all hosts, and keep the one before when it is invalid', () => {
    const { apply, match } = setup();
    const body = { inlineString: 'x'.repeat(100) };
    const direct = host('80/a', ['a'], { routes: [{ match: { prefix: '/' }, directResponse: { status: 200, body } }] });
    apply([direct], [{ name: '80', vhds, maxDirectResponseBodySizeBytes: 100 }]);
    const before = match('a');
    expect(apply([host('80/b', ['b'])], [{ name: '80', vhds, maxDirectResponseBodySizeBytes: 99 }])).toEqual({
      'routes/80': expect.stringContaining('80/a'),
    });
    expect([match('a'), match('b')?.virtualHost]).toEqual([before, 'b']);
    expect(apply([], [{ name: '80', vhds: { configSource: {} } }])['routes/80']).toContain('must be ads');
    expect(apply([], [{ name: '80', vhds, virtualHosts: [host('x', ['x'])] }])['routes/80']).toContain('must be empty');
  });

  it('check clusters where the configuration asks for it, and forget what is removed', () => {
    const { apply, match, tables } = setup(new Set(['80/a']));
    const violations = apply(
      [host('80/a', ['a']), host('80/b', ['b'])],
      [{ name: '80', vhds, validateClusters: true }],
    );
    expect(violations).toEqual({ 'virtualHosts/80/b': expect.stringContaining('unknown cluster "80/b"') });
    apply([], [], ['80/a']);
    expect(match('a')).toBeUndefined();
    tables.remove('80');
    expect(tables.get('80')).toBeUndefined();
  });

  it('keep their hosts apart by the last slash of the name', () => {
    const { apply, match } = setup();
    apply([host('gw/80/a', ['a'])], [{ name: 'gw/80', vhds }]);
    expect(match('a', 'gw/80')?.virtualHost).toBe('a');
  });

  it('are refused in a static file', () => {
    expect(() => compileRouteConfiguration({ name: '80', vhds }, DEPS)).toThrow('vhds');
  });
});

describe('route tables with a host index', () => {
  function indexed() {
    const fetches = new Fetches(DEPS.env, { waitMs: 60_000, maxWaiting: 10 });
    const wanted: string[] = [];
    fetches.want = (_type, name) => void wanted.push(name);
    const compileRoutes = (config: RouteConfiguration) => compileRouteConfiguration(config, DEPS);
    const tables = new RouteTables({ clusters: new Set(), compileRoutes, hosts: DEPS, fetches });
    const apply = (change: Partial<RouteChanges>) =>
      Object.fromEntries(tables.apply({ hosts: [], configurations: [], removedHosts: [], ...change }));
    /** The virtual host, or what is waited for in its place. */
    const at = (authority: string) => {
      const table = tables.get('80')!;
      return table.match(request(authority))?.virtualHost ?? (table.fetch?.(authority) ? 'waits' : 'none');
    };
    apply({
      configurations: [{ name: '80', vhds }],
      hosts: [host('80/any', ['*'])],
      indexed: [
        { name: '80/a', domains: ['a.example', 'a'] },
        { name: '80/wild', domains: ['*.example'] },
      ],
    });
    return { tables, fetches, wanted, apply, at };
  }

  it('take nothing else for a host that is not here, by the rules of domains', () => {
    const { wanted, at, fetches } = indexed();
    expect(['a', 'A.example', 'b.example', 'elsewhere'].map(at)).toEqual(['waits', 'waits', 'waits', 'any']);
    expect(wanted).toEqual(['80/a', '80/wild']);
    fetches.close();
  });

  it('use a host while it is here, and wait again when it was let go', async () => {
    const { apply, at, fetches, tables } = indexed();
    expect(at('a')).toBe('waits');
    const waiting = tables.get('80')!.fetch!('a')!.done;
    apply({ hosts: [host('80/a', ['a.example', 'a'])] });
    expect(await waiting).toBe('changed');
    expect(['a', 'a.example', 'b.example'].map(at)).toEqual(['a', 'a', 'waits']);
    expect(tables.takeUsed(() => false)).toEqual(['80/any', '80/a']);
    expect(tables.takeUsed(() => false)).toEqual([]);
    expect(tables.takeUsed((cluster) => cluster === '80/a')).toEqual(['80/a']);
    apply({ configurations: [{ name: '80', vhds, ignorePortInHostMatching: true }] });
    expect(['a:80', 'b.example:80'].map(at)).toEqual(['a', 'waits']);
    apply({ removedHosts: ['80/a'] });
    expect(['a', 'a.example'].map(at)).toEqual(['waits', 'waits']);
    fetches.close();
  });

  it('look a host up again when it leaves the index while requests wait', async () => {
    const { apply, at, tables } = indexed();
    const waiting = tables.get('80')!.fetch!('a.example')!.done;
    apply({ unindexed: ['80/a'], removedHosts: ['80/a'] });
    expect(await waiting).toBe('changed');
    expect(['a', 'a.example'].map(at)).toEqual(['any', 'waits']);
    apply({ unindexed: ['80/wild'] });
    expect(at('a.example')).toBe('any');
  });

  it('keep a host that is refused, or that the control plane does not have, from what catches everything', async () => {
    const { apply, at, tables } = indexed();
    const waiting = tables.get('80')!.fetch!('a')!.done;
    expect(Object.keys(apply({ hosts: [broken('80/a', ['a.example', 'a'])] }))).toEqual(['virtualHosts/80/a']);
    expect(await waiting).toBe('refused');
    expect(at('a')).toBe('waits');
    expect(await tables.get('80')!.fetch!('a')!.done).toBe('refused');
    apply({ removedHosts: ['80/wild'] });
    expect(await tables.get('80')!.fetch!('b.example')!.done).toBe('refused');
    apply({ hosts: [host('80/a', ['a.example'])] });
    // A domain of the index that the host does not have belongs to no other host.
    expect(['a.example', 'a'].map(at)).toEqual(['a', 'waits']);
  });

  it('give a domain that passes from one host to another to the one that is here', () => {
    const { apply, at, fetches } = indexed();
    apply({ hosts: [host('80/b', ['b.example', 'a'])], indexed: [{ name: '80/b', domains: ['b.example', 'a'] }] });
    expect(['a', 'a.example', 'b.example'].map(at)).toEqual(['b', 'waits', 'b']);
    apply({ removedHosts: ['80/b'], unindexed: ['80/b'], indexed: [{ name: '80/a', domains: ['a.example', 'a'] }] });
    expect(['a', 'a.example'].map(at)).toEqual(['waits', 'waits']);
    fetches.close();
  });
});
