/**
 * Kubernetes' impersonation headers (https://kubernetes.io/docs/reference/access-authn-authz/authentication/#user-impersonation).
 * A server that ignored them would run a request with more rights than its client asked for.
 */
import type { ResourceAttributes } from './attributes.ts';
import {
  ANONYMOUS,
  authenticated,
  serviceAccountGroups,
  serviceAccountOf,
  serviceAccountUserName,
  type User,
} from './user.ts';

const PREFIX = 'impersonate-';
const EXTRA = 'impersonate-extra-';
const KNOWN = /^impersonate-(user|group|uid|extra-.+)$/;

/** The headers are not as Kubernetes has them. */
export class ImpersonationError extends Error {
  override name = 'ImpersonationError';
}

/** Headers of a request: name in lower case and value, one for each line that was sent. */
export type HeaderLines = readonly (readonly [name: string, value: string])[];

/** Those that ask for impersonation, known or not. */
export const impersonationLines = (lines: Iterable<readonly [string, string]>): HeaderLines =>
  [...lines].filter(([name]) => name.startsWith(PREFIX));

/**
 * What the headers ask for, each part to be authorized by itself; the user is the first.
 * @throws ImpersonationError for a header that Kubernetes does not know, or without a user
 */
export function impersonationRequests(lines: HeaderLines): ResourceAttributes[] {
  const unknown = lines.find(([name]) => !KNOWN.test(name));
  if (unknown) throw new ImpersonationError(`header ${unknown[0]}: is not an impersonation header of Kubernetes`);
  const values = (name: string) => lines.filter(([each]) => each === name).map(([, value]) => value);
  const [user, ...others] = values('impersonate-user');
  if (others.length > 0) throw new ImpersonationError('header Impersonate-User: is set more than once');
  if (!user) throw new ImpersonationError('impersonation without a user: header Impersonate-User is absent');
  return [
    userRequest(user),
    ...values('impersonate-group').map((name) => impersonate('groups', name)),
    ...values('impersonate-uid').map((name) => ({
      ...impersonate('uids', name),
      group: 'authentication.k8s.io',
    })),
    ...lines.flatMap(([key, value]) => (key.startsWith(EXTRA) ? [extraRequest(key.slice(EXTRA.length), value)] : [])),
  ];
}

/**
 * The user that authorized requests make. A service account without groups gets its own, any other user but the anonymous one
 * `system:authenticated`.
 */
export function impersonatedUser(requests: readonly ResourceAttributes[]): User {
  const [first, ...rest] = requests;
  const account = first!.resource === 'serviceaccounts' ? first! : undefined;
  const name = account ? serviceAccountUserName(account) : first!.name;
  const given = rest.filter(({ resource }) => resource === 'groups').map((each) => each.name);
  const uid = rest.find(({ resource }) => resource === 'uids')?.name;
  const extra: Record<string, string[]> = {};
  for (const { resource, subresource, name: value } of rest)
    if (resource === 'userextras') extra[subresource] = [...(extra[subresource] ?? []), value];
  return authenticated({
    name,
    ...(uid !== undefined && { uid }),
    groups: given.length > 0 ? given : defaultGroups(name, account?.namespace),
    ...(Object.keys(extra).length > 0 && { extra }),
  });
}

function defaultGroups(name: string, namespace: string | undefined): readonly string[] {
  if (namespace !== undefined) return serviceAccountGroups(namespace);
  return name === ANONYMOUS.name ? ANONYMOUS.groups : [];
}

function userRequest(user: string): ResourceAttributes {
  const account = serviceAccountOf(user);
  if (!account) return impersonate('users', user);
  return { ...impersonate('serviceaccounts', account.name), namespace: account.namespace };
}

function extraRequest(key: string, name: string): ResourceAttributes {
  return { ...impersonate('userextras', name), group: 'authentication.k8s.io', subresource: extraKey(key) };
}

/** Of Kubernetes' clients the key is percent-encoded; one that is not is taken as it is. */
function extraKey(key: string): string {
  try {
    return decodeURIComponent(key).toLowerCase();
  } catch {
    return key;
  }
}

const impersonate = (resource: string, name: string): ResourceAttributes => ({
  verb: 'impersonate',
  group: '',
  resource,
  subresource: '',
  namespace: '',
  name,
});
