import { Report } from '../faults.ts';
import type { Findings } from '../kind.ts';
import type { RequestAuthenticationSpec } from '../schema/request-authentication.ts';

/** Rules of RequestAuthentication beyond its schema. */
export function checkRequestAuthentication(_spec: RequestAuthenticationSpec): Findings {
  return new Report().findings;
}
