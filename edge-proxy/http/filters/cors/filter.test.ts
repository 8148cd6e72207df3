import { describe, expect, it } from 'vitest';
import { HeaderMap } from '../../message/header-map.ts';
import { contextOf, requestDouble } from '../request-double.ts';
import { createCorsFilter, type RouteCors } from './filter.ts';

const policy: RouteCors = {
  allowsOrigin: (origin) => origin === 'https://a.example',
  preflightHeaders: { 'access-control-allow-methods': 'GET,POST', 'access-control-allow-credentials': 'true' },
  allowCredentials: true,
  exposeHeaders: 'x-a',
  forwardNotMatchingPreflights: false,
};
const ask = (cors: RouteCors | undefined, headers: Record<string, string>, method = 'OPTIONS') => {
  const request = requestDouble({ method, headers });
  const filter = createCorsFilter(() => cors);
  const response = new HeaderMap();
  const context = contextOf(request);
  const verdict = filter.onRequestHead!(context, true);
  filter.onResponseHead!(context, { status: 200, headers: response }, true);
  return { verdict, response: Object.fromEntries(response.keys.map((key, i) => [key, response.values[i]])) };
};
const preflight = { origin: 'https://a.example', 'access-control-request-method': 'PUT' };

describe('cors', () => {
  it('answers a preflight of an allowed origin', () => {
    expect(ask(policy, preflight).verdict).toEqual({
      status: 200,
      body: '',
      details: 'cors_response',
      headers: {
        'access-control-allow-origin': 'https://a.example',
        'access-control-allow-methods': 'GET,POST',
        'access-control-allow-credentials': 'true',
      },
    });
  });
  it('a preflight of another origin is answered bare, or forwarded', () => {
    const evil = { ...preflight, origin: 'https://evil.example' };
    expect(ask(policy, evil)).toEqual({ verdict: { status: 200, body: '', details: 'cors_response' }, response: {} });
    expect(ask({ ...policy, forwardNotMatchingPreflights: true }, evil)).toEqual({ verdict: undefined, response: {} });
  });
  it('marks responses to an allowed origin only', () => {
    expect(ask(policy, { origin: 'https://a.example' }, 'GET')).toEqual({
      verdict: undefined,
      response: {
        'access-control-allow-origin': 'https://a.example',
        'access-control-allow-credentials': 'true',
        'access-control-expose-headers': 'x-a',
      },
    });
    expect(ask(policy, { origin: 'https://evil.example' }, 'GET').response).toEqual({});
    expect(ask(policy, {}, 'GET').response).toEqual({});
    const plain = { ...policy, allowCredentials: false, exposeHeaders: '' };
    expect(Object.keys(ask(plain, { origin: 'https://a.example' }, 'GET').response)).toEqual([
      'access-control-allow-origin',
    ]);
  });
  it('replaces what the application said', () => {
    const request = requestDouble({ headers: { origin: 'https://a.example' } });
    const response = new HeaderMap();
    response.append('Access-Control-Allow-Origin', '*');
    const filter = createCorsFilter(() => policy);
    const context = contextOf(request);
    filter.onRequestHead!(context, true);
    filter.onResponseHead!(context, { status: 200, headers: response }, true);
    expect(response.values[0]).toBe('https://a.example');
  });
  it('leaves the response alone where the request did not come this far', () => {
    const response = new HeaderMap();
    const context = contextOf(requestDouble({ headers: { origin: 'https://a.example' } }));
    createCorsFilter(() => policy).onResponseHead!(context, { status: 403, headers: response }, true);
    expect(response.size).toBe(0);
  });
  it('OPTIONS that is no preflight, and routes without a policy, pass', () => {
    expect(ask(policy, { origin: 'https://a.example' }).verdict).toBeUndefined();
    expect(ask(policy, preflight, 'GET').verdict).toBeUndefined();
    expect(ask(policy, { 'access-control-request-method': 'PUT' }).verdict).toBeUndefined();
    expect(ask(undefined, preflight)).toEqual({ verdict: undefined, response: {} });
  });
});
