/**
 * envoy.filters.http.ext_authz: asks another service about each request, which waits for the verdict. Nothing of it is
 * forwarded before; a client that leaves ends the question. A verdict holds for its request as long as that lasts: when the
 * configuration changes, requests under way are judged again by what filters can decide alone, and no service is asked twice
 * (`FilterHooks.stillAllows`).
 *
 * Unlike Envoy, a request that matches no route is asked about, too: a filter behind may choose one (claims of a token).
 */
import { FRAMING_HEADERS } from '../../../../shared/match/framing-headers.ts';
import type { LocalReply, RequestContext } from '../../request/request-context.ts';
import type { FilterUse } from '../definition.ts';
import { type BufferBody, type FilterContext, type FilterHooks, type HeadAnswer, StateSlot } from '../hooks.ts';
import type { AuthzRules, RouteAuthz } from './compile.ts';
import { applyToRequest, areValid, isApplicable, mutate } from './mutations.ts';
import type { AuthorizationService } from './service.ts';
import type { CountOutcome, CountVerdict, Outcome } from './stats.ts';
import type { Allowed, Denied, DynamicMetadata, Failed, HeaderMutation, Verdict } from './verdict.ts';

/** Of the dynamic metadata that a verdict brings. */
const NAME = 'envoy.filters.http.ext_authz';
const FAILED_OPEN = 'x-envoy-auth-failure-mode-allowed';
const FLAG = 'UAEX';
const NO_EXTENSIONS: RouteAuthz['contextExtensions'] = {};
const INVALID_ANSWER: LocalReply = { status: 500, body: '', details: 'ext_authz_invalid', flag: FLAG };

/**
 * @param now milliseconds since the epoch
 * @param countFor counts for the cluster of each request, when it is over: only then is the cluster of one that was denied
 *   known; absent: nothing reads the counters
 */
export function createExtAuthzFilter(
  rules: AuthzRules,
  routeConfig: FilterUse<RouteAuthz>['routeConfig'],
  count: CountVerdict,
  now: () => number,
  countFor?: CountOutcome,
): FilterHooks {
  const forResponse = new StateSlot<readonly HeaderMutation[]>();
  const outcomes = new StateSlot<Outcome>();
  const conclude = (context: FilterContext, outcome: Outcome): void => {
    count(outcome);
    if (countFor) context.set(outcomes, outcome);
  };
  const services = new WeakMap<RouteAuthz, AuthorizationService>();
  const serviceFor = (route: RouteAuthz | undefined): AuthorizationService => {
    if (!route) return rules.service;
    let service = services.get(route);
    if (!service) {
      const { config, path } = route.settings;
      services.set(route, (service = rules.serviceOf(config, path) ?? rules.service));
    }
    return service;
  };
  const failure: LocalReply = { status: rules.statusOnError, body: '', details: 'ext_authz_error', flag: FLAG };

  const ask = (
    context: FilterContext,
    route: RouteAuthz | undefined,
    body: BufferBody | undefined,
  ): Promise<HeadAnswer> => {
    const { contextExtensions = NO_EXTENSIONS } = route ?? {};
    const began = now();
    const question = { context, maxBodyBytes: body?.buffer ?? 0, contextExtensions };
    return serviceFor(route)
      .check(question)
      .then((verdict) => (context.signal.aborted ? failure : settle(context, verdict, began)));
  };

  const settle = (context: FilterContext, verdict: Verdict, began: number): HeadAnswer => {
    if (verdict.kind === 'invalid') return invalid();
    keepMetadata(context.request, verdict, began);
    if (verdict.kind === 'allowed') return admit(context, verdict);
    return verdict.kind === 'denied' ? deny(context, verdict) : fail(context, verdict);
  };

  const invalid = (): LocalReply => {
    count('invalid');
    return INVALID_ANSWER;
  };

  const keepMetadata = (
    request: RequestContext,
    { kind, metadata }: Exclude<Verdict, { kind: 'invalid' }>,
    began: number,
  ) => {
    if (metadata === undefined || Object.keys(metadata).length === 0) return;
    if (!rules.takesMetadata) {
      count('ignored_dynamic_metadata');
      return;
    }
    const values: DynamicMetadata = kind === 'allowed' ? { ...metadata, ext_authz_duration: now() - began } : metadata;
    request.metadata ??= {};
    request.metadata[NAME] = Object.assign(Object.create(null) as object, request.metadata[NAME], values);
  };

  const admit = (context: FilterContext, verdict: Allowed): LocalReply | undefined => {
    if (!isApplicable(verdict, context.request)) return invalid();
    applyToRequest(verdict, context.request);
    if (verdict.responseHeaders.length > 0) context.set(forResponse, verdict.responseHeaders);
    if (rules.clearRouteCache && changesRequest(verdict)) context.chooseRoute();
    conclude(context, 'ok');
    return undefined;
  };

  const deny = (context: FilterContext, verdict: Denied): LocalReply => {
    if (!areValid(verdict.headers)) return invalid();
    conclude(context, 'denied');
    const { maxDeniedBodyBytes: most } = rules;
    const body = most > 0 ? verdict.body.subarray(0, most) : verdict.body;
    return {
      status: verdict.status,
      body,
      headers: fieldsOf(verdict.headers),
      details: 'ext_authz_denied',
      flag: FLAG,
    };
  };

  const fail = (context: FilterContext, verdict: Failed): LocalReply | undefined => {
    conclude(context, 'error');
    if (rules.failureModeAllow && !verdict.closed) {
      conclude(context, 'failure_mode_allowed');
      if (rules.marksFailure) context.request.headers.append(FAILED_OPEN, 'true', FAILED_OPEN);
      return undefined;
    }
    if (!areValid(verdict.headers)) return invalid();
    const { status = rules.statusOnError, body } = verdict;
    return { ...failure, status, body, headers: fieldsOf(verdict.headers) };
  };

  return {
    onRequestHead: (context, end) => {
      const { request, requestBody } = context;
      const route = routeConfig(request);
      if (route?.disabled) return undefined;
      const body = end || (request.upgrade ?? '') !== '' ? undefined : bodyFor(rules, route);
      if (requestBody) return ask(context, route, body);
      if (!rules.enabled(request)) {
        conclude(context, 'disabled');
        return rules.denyAtDisable ? failure : undefined;
      }
      return body ?? ask(context, route, undefined);
    },
    onResponseHead: (context, { headers }) => {
      for (const mutation of context.get(forResponse) ?? []) mutate(headers, mutation);
      return undefined;
    },
    ...(countFor && {
      onEnd: (context: FilterContext) => {
        const outcome = context.get(outcomes);
        const { cluster } = context.request;
        if (outcome !== undefined && cluster) countFor(cluster, outcome);
      },
    }),
  };
}

function bodyFor({ body }: AuthzRules, route: RouteAuthz | undefined): BufferBody | undefined {
  const override = route?.body;
  return override === undefined ? body : (override ?? undefined);
}

function changesRequest({ headers, headersToRemove, queryToSet, queryToRemove }: Allowed): boolean {
  return headers.length + headersToRemove.length + queryToSet.length + queryToRemove.length > 0;
}

/** The fields of an answer; several of one name are several. */
function fieldsOf(mutations: readonly HeaderMutation[]): Record<string, string[]> {
  const fields = Object.create(null) as Record<string, string[]>;
  for (const { key, value } of mutations) {
    if (FRAMING_HEADERS.has(key)) continue;
    const known = fields[key];
    if (known) known.push(value);
    else fields[key] = [value];
  }
  return fields;
}
