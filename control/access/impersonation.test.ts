import { describe, expect, it } from 'vitest';
import { impersonationLines, impersonationRequests } from './impersonation.ts';

const requests = (headers: [string, string][]) =>
  impersonationRequests(headers.map(([name, value]) => [name.toLowerCase(), value])).map(
    ({ group, resource, subresource, namespace, name }) => [group, resource, subresource, namespace, name].join('|'),
  );

describe('impersonation headers', () => {
  it('are any that begin with Impersonate-', () => {
    expect(impersonationLines(new Headers({ accept: 'a', authorization: 'b' }))).toEqual([]);
    for (const name of ['Impersonate-User', 'Impersonate-Group', 'Impersonate-Extra-Scopes', 'Impersonate-Other'])
      expect(impersonationLines(new Headers({ [name]: 'x' }))).toHaveLength(1);
  });

  it('ask for each part of a user by itself', () => {
    expect(
      requests([
        ['Impersonate-User', 'jane'],
        ['Impersonate-Group', 'cn=dev,ou=x'],
        ['Impersonate-Group', 'ops, dev'],
        ['Impersonate-Uid', '7'],
        ['Impersonate-Extra-Acme.com%2Fscope', 'view'],
        ['Impersonate-Extra-Acme.com%2Fscope', 'edit'],
      ]),
    ).toEqual([
      '|users|||jane',
      '|groups|||cn=dev,ou=x',
      '|groups|||ops, dev',
      'authentication.k8s.io|uids|||7',
      'authentication.k8s.io|userextras|acme.com/scope||view',
      'authentication.k8s.io|userextras|acme.com/scope||edit',
    ]);
    expect(requests([['Impersonate-User', 'system:serviceaccount:shop:web']])).toEqual(['|serviceaccounts||shop|web']);
  });

  it('are refused without a user, and of unknown names', () => {
    expect(() => requests([['Impersonate-Group', 'ops']])).toThrow('impersonation without a user');
    expect(() =>
      requests([
        ['Impersonate-User', 'a'],
        ['Impersonate-Role', 'b'],
      ]),
    ).toThrow('header impersonate-role');
    expect(() =>
      requests([
        ['Impersonate-User', 'a'],
        ['Impersonate-User', 'b'],
      ]),
    ).toThrow('Impersonate-User: is set more than once');
  });
});
