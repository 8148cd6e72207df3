import { afterEach, describe, expect, it } from 'vitest';
import type { ResourceOfKind } from '../../shared/resources/registry.ts';
import type { KeySets } from '../mesh/key-sets.ts';
import { FetchError, type KeyFetcher } from './key-fetcher.ts';
import { KeyResolver } from './key-resolver.ts';
import { fetchKeys } from './key-source.ts';
import { keyFindings, wantedSources } from './wanted-sources.ts';

const X = '8XTbPt9ElWTWk2ZRNVxG4kFAIwUOKX-Mjza1YKkfGQQ';
const Y = 'OTnWRy153UR5INeIsBZt1MGa4a18V3-Q1ekhuIYP2EI';
const keys = (kid: string) => JSON.stringify({ keys: [{ kty: 'EC', crv: 'P-256', kid, x: X, y: Y }] });
const ISSUER = 'https://issuer.test';
const CONFIG = `${ISSUER}/.well-known/openid-configuration`;

/** Answers by URL; a text that is missing is a failure. */
function answering(documents: Record<string, string | undefined>) {
  const asked: string[] = [];
  const fetcher: KeyFetcher = {
    fetch: async (url) => {
      asked.push(url);
      const text = documents[url];
      if (text === undefined) throw new FetchError(`${new URL(url).host} answers 503`);
      return text;
    },
  };
  return { fetcher, asked };
}
const running: KeyResolver[] = [];
afterEach(() => {
  for (const one of running.splice(0)) one.stop();
});
function resolving(
  documents: Record<string, string | undefined>,
  known: Record<string, string> = {},
  maxKeys?: number,
) {
  const { fetcher, asked } = answering(documents);
  const published: KeySets[] = [];
  const waiting = new Set<() => void>();
  const wake = () => {
    for (const one of waiting) one();
  };
  const resolver = new KeyResolver({
    fetcher,
    refreshMs: 5,
    known: new Map(Object.entries(known)),
    ...(maxKeys !== undefined && { maxKeys }),
    random: () => 0.5,
    onKeys: (sets) => {
      published.push(sets);
      wake();
    },
    onState: wake,
    onError: (error) => {
      throw error;
    },
  });
  running.push(resolver);
  const until = async (condition: () => boolean) => {
    while (!condition())
      await new Promise<void>((done) => {
        const timer = setTimeout(done, 5);
        waiting.add(() => {
          clearTimeout(timer);
          done();
        });
      });
  };
  const text = (id: string) => published.at(-1)?.get(id)?.text;
  return { resolver, asked, published, until, text };
}
const policy = (...jwtRules: object[]): ResourceOfKind<'RequestAuthentication'> => ({
  apiVersion: 'security.istio.io/v1',
  kind: 'RequestAuthentication',
  metadata: { name: 'p', namespace: 'default' },
  spec: { jwtRules: jwtRules as never },
});

describe('the resolver', () => {
  it('fetches, follows a rotation, and publishes nothing while keys are the same', async () => {
    const documents = { 'https://keys.test/': keys('a') };
    const { resolver, asked, published, until, text } = resolving(documents);
    resolver.want(wantedSources([policy({ issuer: ISSUER, jwksUri: 'https://keys.test/' })]));
    await until(() => asked.length > 3);
    expect(published).toHaveLength(1);
    expect(text('uri https://keys.test/')).toBe(keys('a'));
    documents['https://keys.test/'] = keys('b');
    await until(() => published.length > 1);
    expect(text('uri https://keys.test/')).toBe(keys('b'));
  });
  it('keeps old keys through an outage, and through an answer that is no key set', async () => {
    const documents: Record<string, string | undefined> = { 'https://keys.test/': keys('a') };
    const { resolver, published, until } = resolving(documents);
    const one = policy({ issuer: ISSUER, jwksUri: 'https://keys.test/' });
    const findings = () => keyFindings(one, (source) => resolver.state(source)).map(({ message }) => message);
    resolver.want(wantedSources([one]));
    await until(() => published.length === 1);
    expect(findings()).toEqual([]);
    documents['https://keys.test/'] = undefined;
    await until(() => findings().length > 0);
    expect(findings()).toEqual([
      'spec.jwtRules[0].jwksUri: keys.test answers 503: the keys that were fetched before stay in force',
    ]);
    documents['https://keys.test/'] = '{"keys":[]}';
    await until(() => findings()[0]!.includes('is no JSON Web Key Set'));
    documents['https://keys.test/'] = keys('a');
    await until(() => findings().length === 0);
    expect(published).toHaveLength(1);
  });
  it('takes no more keys than its bound, and keeps those that it has', async () => {
    const [one, two] = ['https://one.test/', 'https://two.test/'];
    const documents = { [one]: keys('a') };
    const { resolver, published, until, text } = resolving(documents, {}, keys('a').length + 50);
    const both = policy({ issuer: ISSUER, jwksUri: one }, { issuer: 'b', jwksUri: two });
    const findings = () => keyFindings(both, (source) => resolver.state(source)).map(({ message }) => message);
    resolver.want(wantedSources([both]));
    await until(() => published.length === 1 && findings().length === 1);
    documents[two] = keys('b');
    await until(() => findings()[0]!.includes('the keys of all issuers together are more than'));
    expect(findings()).toEqual([
      expect.stringMatching(/^spec\.jwtRules\[1\]\.jwksUri.*tokens of its issuer are refused$/),
    ]);
    // A rotation takes the place of the source's own keys.
    documents[one] = keys('aa');
    await until(() => published.length === 2);
    expect([text(`uri ${one}`), text(`uri ${two}`)]).toEqual([keys('aa'), undefined]);
  });
  it('has none of a source that never answered, says so, and does not stop', async () => {
    const documents: Record<string, string | undefined> = {};
    const { resolver, published, until } = resolving(documents);
    const one = policy({ issuer: ISSUER });
    resolver.want(wantedSources([one]));
    await until(() => resolver.state({ issuer: ISSUER })?.failure !== undefined);
    expect(keyFindings(one, (source) => resolver.state(source))).toMatchObject([
      {
        reason: 'KeysNotAvailable',
        message: 'spec.jwtRules[0].issuer: issuer.test answers 503: tokens of its issuer are refused',
      },
    ]);
    documents[CONFIG] = JSON.stringify({ issuer: ISSUER, jwks_uri: 'https://keys.test/' });
    documents['https://keys.test/'] = keys('a');
    await until(() => published.length === 1);
    expect(published[0]!.has(`issuer ${ISSUER}`)).toBe(true);
  });
  it('has keys of an earlier process at once, and forgets what is no longer asked for', async () => {
    const { resolver, published } = resolving(
      {},
      { [`issuer ${ISSUER}`]: keys('old'), 'uri https://gone.test/': keys('x') },
    );
    resolver.want(wantedSources([policy({ issuer: ISSUER })]));
    expect(published.map((sets) => [...sets.keys()])).toEqual([[`issuer ${ISSUER}`]]);
    resolver.want(new Map());
    expect(published.at(-1)!.size).toBe(0);
  });
});

describe('discovery', () => {
  const of = (document: object | string | undefined, issuer = ISSUER) => {
    const text = typeof document === 'object' ? JSON.stringify(document) : document;
    const { fetcher } = answering({
      [`${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`]: text,
      'https://keys.test/': keys('a'),
    });
    return fetchKeys(fetcher, { source: { issuer }, timeoutMs: 1000, namespaces: ['a'] });
  };
  it('follows jwks_uri, also of an issuer with a path or a final slash', async () => {
    for (const issuer of [ISSUER, `${ISSUER}/tenant`, `${ISSUER}/`])
      expect(await of({ issuer, jwks_uri: 'https://keys.test/' }, issuer)).toBe(keys('a'));
  });
  it.each<[object | string | undefined, string]>([
    [{ issuer: 'https://other.test', jwks_uri: 'https://keys.test/' }, 'is of another issuer'],
    [{ issuer: ISSUER }, 'has no jwks_uri'],
    [{ issuer: ISSUER, jwks_uri: 5 }, 'has no jwks_uri'],
    [{ issuer: ISSUER, jwks_uri: 'file:///x' }, 'has no jwks_uri'],
    [{ issuer: ISSUER, jwks_uri: 'http://keys.test/' }, 'has a jwks_uri of http'],
    ['[]', 'is no OpenID discovery document'],
    ['{"issuer":"a","issuer":"b"}', 'is no OpenID discovery document'],
    [undefined, 'answers 503'],
  ])('%j', async (document, reason) => expect(of(document)).rejects.toThrow(reason));
  it('needs an issuer that is a URL', async () => expect(of({}, 'a@b.test')).rejects.toThrow('is no URL'));
});

it('one source that several rules name has the longest of their times', () => {
  const rules = [
    { issuer: ISSUER },
    { issuer: ISSUER, timeout: '30s' },
    { issuer: 'b', jwksUri: 'https://keys.test/', timeout: '200ms' },
    { issuer: 'c', jwks: keys('a') },
    { issuer: 'd', jwksUri: 'https://slow.test/', timeout: '1h' },
  ];
  expect(
    Object.fromEntries([...wantedSources([policy(...rules)])].map(([id, { timeoutMs }]) => [id, timeoutMs])),
  ).toEqual({
    [`issuer ${ISSUER}`]: 30_000,
    'uri https://keys.test/': 200,
    'uri https://slow.test/': 60_000,
  });
});

it('names keys in line that cannot be used', () => {
  const found = keyFindings(policy({ issuer: 'a', jwks: '{"keys":[{"kty":"x"}]}' }), () => undefined);
  expect(found.map(({ message }) => message)).toEqual([
    'spec.jwtRules[0].jwks: has no key that can be used: tokens of its issuer are refused',
  ]);
});
