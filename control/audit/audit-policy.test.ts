import { describe, expect, it } from 'vitest';
import { type AuditedRequest, readAuditPolicy } from './audit-policy.ts';

const policy = (rules: unknown, more = {}) =>
  readAuditPolicy(JSON.stringify({ apiVersion: 'audit.k8s.io/v1', kind: 'Policy', rules, ...more }));

const get = (resource: string, more: object = {}): AuditedRequest => ({
  user: 'jane',
  groups: ['shop', 'system:authenticated'],
  attributes: { verb: 'get', group: '', resource, subresource: '', namespace: 'default', name: 'a', ...more },
});
const path = (text: string): AuditedRequest => ({ user: 'jane', groups: [], attributes: { verb: 'get', path: text } });
const logs = (rules: unknown, request: AuditedRequest) => policy(rules).logs(request, 'ResponseComplete');

describe('a policy', () => {
  it('takes the first rule that matches, and leaves out what none matches', () => {
    const rules = [
      { level: 'None', verbs: ['get'], resources: [{ group: '', resources: ['configmaps'] }] },
      { level: 'Metadata', resources: [{ group: '' }] },
    ];
    expect(logs(rules, get('configmaps'))).toBe(false);
    expect(logs(rules, get('secrets'))).toBe(true);
    expect(logs(rules, get('virtualservices', { group: 'networking.istio.io' }))).toBe(false);
  });

  it.each([
    [{ users: ['jane'] }, true],
    [{ users: ['john'] }, false],
    [{ userGroups: ['shop'] }, true],
    [{ userGroups: ['other'] }, false],
    [{ namespaces: ['default'] }, true],
    [{ namespaces: [''] }, false],
    [{ resources: [{ resources: ['services'], resourceNames: ['a'] }] }, true],
    [{ resources: [{ resources: ['services'], resourceNames: ['b'] }] }, false],
    [{ resources: [{ resources: ['services/*'] }] }, true],
    [{ resources: [{ resources: ['services/status'] }] }, false],
    [{ nonResourceURLs: ['*'] }, false],
  ])('%j', (rule, expected) => expect(logs([{ level: 'Metadata', ...rule }], get('services'))).toBe(expected));

  it('matches subresources and paths as kube-apiserver does', () => {
    const resources = (...names: string[]) => [{ level: 'Metadata', resources: [{ resources: names }] }];
    const token = get('serviceaccounts', { subresource: 'token' });
    expect(logs(resources('serviceaccounts'), token)).toBe(false);
    for (const name of ['serviceaccounts/token', '*/token', 'serviceaccounts/*', '*'])
      expect(logs(resources(name), token), name).toBe(true);
    const urls = [{ level: 'Metadata', nonResourceURLs: ['/healthz*', '/version'] }];
    expect([path('/healthz/ping'), path('/version'), path('/versions')].map((each) => logs(urls, each))).toEqual([
      true,
      true,
      false,
    ]);
  });

  it('omits stages of a rule and of all', () => {
    const made = policy([{ level: 'Metadata', omitStages: ['ResponseStarted'] }], { omitStages: ['RequestReceived'] });
    const stages = ['RequestReceived', 'ResponseStarted', 'ResponseComplete'] as const;
    expect(stages.map((stage) => made.logs(get('services'), stage))).toEqual([false, false, true]);
  });
});

describe('a policy is refused', () => {
  it.each([
    [[{ level: 'Request' }], /^rules\[0\]\.level: is not supported: bodies are never logged/],
    [[{ level: 'Metadata', omitManagedFields: true }], /^rules\[0\]: .*omitManagedFields/],
    [[], /^rules: must not be empty/],
    [[{ level: 'None', resources: [{ resourceNames: ['a'] }] }], /^rules\[0\]\.resources\[0\]\.resourceNames: needs/],
    [[{ level: 'None', resources: [{ group: 'control.tulle.dev' }] }], /nonResourceURLs/],
    [[{ level: 'None', nonResourceURLs: ['/a*b'] }], /^rules\[0\]\.nonResourceURLs\[0\]: must/],
    [[{ level: 'None', nonResourceURLs: ['/a'], namespaces: ['b'] }], /^rules\[0\]\.nonResourceURLs: must not/],
  ])('%j', (rules, message) => expect(() => policy(rules)).toThrow(message));

  it('that is no policy', () => {
    expect(() => readAuditPolicy('a: [')).toThrow('is not YAML');
    expect(() => readAuditPolicy('kind: Policy')).toThrow(/^apiVersion: /);
    expect(() => readAuditPolicy('')).toThrow(/^the policy: /);
  });
});
