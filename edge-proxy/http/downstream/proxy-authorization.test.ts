import { describe, expect, it } from 'vitest';
import type { FilterContext } from '../filters/hooks.ts';
import { HeaderMap } from '../message/header-map.ts';
import { proxyAuthorization } from './proxy-authorization.ts';

const SECRET = 'tulle:correct-horse-battery';

/** @returns the status of the answer, undefined where the request passes, and the fields that are left */
function ask(...values: string[]): { status: number | undefined; left: string[] } {
  const headers = new HeaderMap();
  headers.append('accept', '*/*');
  for (const value of values) headers.append('Proxy-Authorization', value);
  const { onRequestHead } = proxyAuthorization(SECRET);
  const answer = onRequestHead!({ request: { headers } } as FilterContext, true);
  return { status: (answer as { status: number } | undefined)?.status, left: headers.keys };
}

const basic = (text: string, scheme = 'Basic') => `${scheme} ${btoa(text)}`;

describe('proxyAuthorization', () => {
  it('admits its own credentials, and removes them', () => {
    for (const scheme of ['Basic', 'basic', 'BASIC', 'Basic '])
      expect(ask(basic(SECRET, scheme))).toEqual({ status: undefined, left: ['accept'] });
  });

  it.each([
    ['nothing', []],
    ['an empty field', ['']],
    ['another password', [basic('tulle:correct-horse-batterx')]],
    ['another user', [basic('tulla:correct-horse-battery')]],
    ['a prefix', [basic(SECRET.slice(0, -1))]],
    ['more', [basic(`${SECRET}x`)]],
    ['no password', [basic('tulle:')]],
    ['another scheme', [`Bearer ${btoa(SECRET)}`]],
    ['the secret itself', [`Basic ${SECRET}`]],
    ['it among others', [basic('a:b'), basic(SECRET)]],
    ['it and another', [basic(SECRET), basic('a:b')]],
    ['it twice', [basic(SECRET), basic(SECRET)]],
    ['NUL characters of its length', [`Basic ${'\0'.repeat(btoa(SECRET).length)}`]],
  ])('answers 407 to %s, and removes it all the same', (_, values) => {
    expect(ask(...values)).toEqual({ status: 407, left: ['accept'] });
  });

  it('names a scheme that clients know', () => {
    const { onRequestHead } = proxyAuthorization(SECRET);
    expect(onRequestHead!({ request: { headers: new HeaderMap() } } as FilterContext, true)).toMatchObject({
      headers: { 'proxy-authenticate': 'Basic realm="tulle"' },
      details: 'http_proxy_unauthenticated',
    });
  });
});
