import { expect, it } from 'vitest';
import { applicationEnvironment } from './application-environment.ts';

const PROXY = 'http://tulle:secret@127.0.0.1:1';

it('names the HTTP proxy, and what is not called through it', () => {
  expect(applicationEnvironment({ PATH: '/bin' }, '127.64.0.9', PROXY)).toEqual({
    PATH: '/bin',
    TULLE_OUTBOUND_ADDRESS: '127.64.0.9',
    http_proxy: PROXY,
    HTTP_PROXY: PROXY,
    no_proxy: 'localhost,127.0.0.1,::1,127.64.0.9',
  });
  expect(applicationEnvironment({}, undefined, PROXY)['no_proxy']).toBe('localhost,127.0.0.1,::1');
});

it.each(['no_proxy', 'NO_PROXY'])('keeps %s', (name) => {
  const environment = applicationEnvironment({ [name]: 'a' }, '127.64.0.9', PROXY);
  expect(Object.entries(environment).filter(([key]) => /no_proxy/i.test(key))).toEqual([[name, 'a']]);
});

it('sets no proxy where there is none', () => {
  expect(applicationEnvironment({}, '127.64.0.9', undefined)).toEqual({ TULLE_OUTBOUND_ADDRESS: '127.64.0.9' });
});
