import { checkRequestAuthentication } from '../checks/request-authentication.ts';
import { AGE } from '../describe/columns.ts';
import type { ResourceOf } from '../kind.ts';
import { RequestAuthenticationSpec } from '../schema/request-authentication.ts';
import { defineIstioKind, SECURITY_VERSIONS } from './istio-kind.ts';

export const requestAuthentication = defineIstioKind({
  kind: 'RequestAuthentication',
  group: 'security.istio.io',
  versions: SECURITY_VERSIONS,
  plural: 'requestauthentications',
  shortNames: ['ra'],
  spec: RequestAuthenticationSpec,
  columns: [AGE],
  description:
    'Which tokens (JWT) requests may carry and how they are verified. Whether one must be there is for AuthorizationPolicy to say.',
  check: checkRequestAuthentication,
});
export type RequestAuthentication = ResourceOf<typeof requestAuthentication>;
