import { describe, expect, it } from 'vitest';
import type { HttpMatch, HttpRule, RouteForm, RoutePrecedence } from '../../mesh/routes/route-form.ts';
import { joinedByHost, joinedFor } from './precedence.ts';

interface Given {
  namespace?: string;
  created?: string;
  hosts?: string[];
  precedence?: RoutePrecedence;
}

/** A form with a rule for each match, named `<form>/<index>`. */
function form(
  name: string,
  matches: HttpMatch[],
  { namespace = 'shop', created = '', ...rest }: Given = {},
): RouteForm {
  const metadata = { name, namespace, creationTimestamp: created };
  const origin = { resource: { apiVersion: 'x/v1', kind: 'Route', metadata }, namespace, config: '' };
  const http = matches.map((match, i): HttpRule => ({ origin, name: `${name}/${i}`, match: [match] }));
  return {
    origin,
    precedence: 'gateway-api',
    hosts: ['a.example'],
    gateways: ['mesh'],
    exportTo: ['*'],
    http,
    tcp: [],
    tls: [],
    withoutEffect: [],
    ...rest,
  };
}
const names = (forms: readonly RouteForm[]) => forms.map(({ http }) => http.map(({ name }) => name).join(' '));
const prefix = (text: string): HttpMatch => ({ uri: { prefix: text } });

describe('forms of the Gateway API for one host', () => {
  it('are joined: the most specific match first', () => {
    const one = form('one', [
      {},
      { uri: { regex: '/a.*' } },
      prefix('/a'),
      { ...prefix('/a'), headers: { x: { exact: '1' } } },
      { ...prefix('/a'), method: { exact: 'GET' } },
      { ...prefix('/a'), queryParams: { q: { exact: '1' } } },
      { uri: { exact: '/b' } },
    ]);
    const other = form('other', [prefix('/a/b/c'), { ...prefix('/a'), headers: { x: {}, y: {} } }, prefix('/')]);
    expect(names(joinedFor([one, other], 'a.example'))).toEqual([
      'one/6 other/0 one/4 other/1 one/3 one/5 one/2 one/1 other/2 one/0',
    ]);
  });

  it('are equal in specificity: the oldest route first, then by namespace and name, then as written', () => {
    const forms = [
      form('c', [prefix('/'), prefix('/')], { created: '2026-01-02T00:00:00Z' }),
      form('a', [prefix('/')], { created: '2026-01-02T00:00:00Z', namespace: 'team' }),
      form('b', [prefix('/')], { created: '2026-01-01T00:00:00Z', namespace: 'team' }),
      form('a', [prefix('/')], { created: '2026-01-02T00:00:00Z' }),
    ];
    expect(names(joinedFor(forms, 'a.example'))).toEqual(['b/0 a/0 c/0 c/1 a/0']);
    expect(joinedFor(forms, 'a.example')[0]?.http.map(({ origin }) => origin.namespace)).toEqual([
      'team',
      'shop',
      'shop',
      'shop',
      'team',
    ]);
  });

  it('that name the host more exactly come first, whatever their paths are', () => {
    const wide = form('wide', [{ uri: { exact: '/x' } }], { hosts: ['*.example', '*'] });
    const exact = form('exact', [prefix('/')], { hosts: ['b.example', 'a.example'] });
    expect(names(joinedFor([wide, exact], 'a.example'))).toEqual(['exact/0 wide/0']);
  });

  it('leave forms with the precedence of Istio at their places, and are the same object for the same forms', () => {
    const istio = form('vs', [prefix('/')], { precedence: 'istio' });
    const [one, other] = [form('one', [prefix('/')]), form('other', [prefix('/a')])];
    const all = joinedFor([one, istio, other], 'a.example');
    expect(names(all)).toEqual(['other/0 one/0', 'vs/0']);
    expect(all[1]).toBe(istio);
    expect(joinedFor([one, istio, other], 'a.example')[0]).toBe(all[0]);
    const alone = [istio];
    expect(joinedFor(alone, 'a.example')).toBe(alone);
  });

  it('become a form for each host', () => {
    const istio = form('vs', [prefix('/')], { precedence: 'istio' });
    const one = form('one', [prefix('/')], { hosts: ['a.example', 'b.example'] });
    const other = form('other', [prefix('/a')], { hosts: ['b.example', 'c.example', 'c.example'] });
    const joined = joinedByHost([one, istio, other]);
    expect(joined.map(({ hosts }) => hosts.join())).toEqual(['a.example', 'b.example', 'a.example', 'c.example']);
    expect(names(joined)).toEqual(['one/0', 'other/0 one/0', 'vs/0', 'other/0']);
    const alone = [istio];
    expect(joinedByHost(alone)).toBe(alone);
  });
});
