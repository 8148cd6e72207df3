/** Who a request is from, as Kubernetes has users (https://kubernetes.io/docs/reference/access-authn-authz/authentication/). */

export interface User {
  readonly name: string;
  /** Sets users apart that had the same name at different times. */
  readonly uid?: string;
  readonly groups: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

/** May do everything. */
export const MASTERS = 'system:masters';
export const AUTHENTICATED = 'system:authenticated';
const UNAUTHENTICATED = 'system:unauthenticated';
const ANONYMOUS_NAME = 'system:anonymous';

export const ANONYMOUS: User = { name: ANONYMOUS_NAME, groups: [UNAUTHENTICATED] };

/** The holder of the token that the first start prints. */
export const ADMIN: User = { name: 'admin', groups: [MASTERS, AUTHENTICATED] };

export interface ServiceAccountName {
  readonly namespace: string;
  readonly name: string;
}

const SERVICE_ACCOUNT = /^system:serviceaccount:([^:]+):([^:]+)$/;

export function serviceAccountOf(userName: string): ServiceAccountName | undefined {
  const [, namespace, name] = SERVICE_ACCOUNT.exec(userName) ?? [];
  return namespace === undefined || name === undefined ? undefined : { namespace, name };
}

export const serviceAccountUserName = ({ namespace, name }: ServiceAccountName): string =>
  `system:serviceaccount:${namespace}:${name}`;

export const serviceAccountGroups = (namespace: string): string[] => [
  'system:serviceaccounts',
  `system:serviceaccounts:${namespace}`,
];

/** With the group that every user has who proved a name. */
export function authenticated(user: User): User {
  const { groups, name } = user;
  if (name === ANONYMOUS_NAME || groups.includes(AUTHENTICATED) || groups.includes(UNAUTHENTICATED)) return user;
  return { ...user, groups: [...groups, AUTHENTICATED] };
}
