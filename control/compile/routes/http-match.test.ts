import { expect, it } from 'vitest';
import { RouteMatch } from '../../../shared/xds/match/route-match.ts';
import { isCatchAll, translateMatch } from './http-match.ts';

const claimOf = (keys: string[], value: object, more: object = {}) => ({
  filter: 'envoy.filters.http.jwt_authn',
  path: ['payload', ...keys].map((key) => ({ key })),
  value,
  ...more,
});
const either = (stringMatch: object) => ({
  orMatch: { valueMatchers: [{ listMatch: { oneOf: { stringMatch } } }, { stringMatch }] },
});

it.each([
  ['@request.auth.claims.group', { exact: 'a' }, claimOf(['group'], either({ exact: 'a' }))],
  ['@request.auth.claims.a.B', { prefix: 'x' }, claimOf(['a', 'B'], either({ prefix: 'x' }))],
  [
    '@request.auth.claims[https://a.example/roles][id]',
    { regex: 'x.*' },
    claimOf(['https://a.example/roles', 'id'], either({ safeRegex: { regex: 'x.*' } })),
  ],
  ['@request.auth.claims[group]', {}, claimOf(['group'], { presentMatch: true })],
  ['@request.auth.claims.group', { regex: '*' }, claimOf(['group'], { presentMatch: true })],
])('a match on the claim %s %j', (name, value, matcher) => {
  const match = translateMatch({ headers: { [name]: value } });
  expect(match).toEqual({ prefix: '/', caseSensitive: true, dynamicMetadata: [matcher] });
  expect(RouteMatch.safeParse(match).success).toBe(true);
  expect(isCatchAll({ match })).toBe(false);
  expect(translateMatch({ withoutHeaders: { [name]: value } }).dynamicMetadata).toEqual([{ ...matcher, invert: true }]);
});

it.each(['@request.auth.claims', '@request.auth.claims-x', '@request.auth.claims.', 'request.auth.claims.x'])(
  '%s is the name of a header, as in Istio',
  (name) => {
    const match = translateMatch({ headers: { [name]: { exact: 'a' } } });
    expect([match.dynamicMetadata, match.headers]).toEqual([undefined, [{ name, stringMatch: { exact: 'a' } }]]);
  },
);
