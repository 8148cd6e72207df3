import type {
  BufferSettings,
  CheckSettings,
  ExtAuthz,
  ExtAuthzPerRoute,
} from '../../../../shared/xds/filters/ext-authz.ts';
import { statusOfCode } from '../../../../shared/xds/filters/ext-authz.ts';
import { ConfigError } from '../../../config-error.ts';
import type { RequestContext } from '../../request/request-context.ts';
import { compileMetadataMatcher } from '../../routing/metadata-matcher.ts';
import { shareOf } from '../../routing/share.ts';
import type { FilterEnv, Located } from '../definition.ts';
import type { BufferBody } from '../hooks.ts';
import type { CheckForm } from './check-request.ts';
import { compileGrpcService } from './grpc-service.ts';
import { compileChoice, type HeaderChoice } from './headers.ts';
import { compileHttpService, type HttpServiceOptions } from './http-service.ts';
import type { AuthorizationService } from './service.ts';

export interface AuthzRules {
  readonly service: AuthorizationService;
  /** undefined: the service is sent no body */
  readonly body: BufferBody | undefined;
  readonly failureModeAllow: boolean;
  /** The request says that it passed unjudged. */
  readonly marksFailure: boolean;
  readonly statusOnError: number;
  readonly clearRouteCache: boolean;
  /** Whether the filter judges a request, and what becomes of one that it does not. */
  readonly enabled: (request: RequestContext) => boolean;
  readonly denyAtDisable: boolean;
  readonly takesMetadata: boolean;
  /** Bytes; 0: no limit. */
  readonly maxDeniedBodyBytes: number;
  /** A service that a route names in the place of this filter's. */
  readonly serviceOf: (settings: CheckSettings, path: string) => AuthorizationService | undefined;
}

/** What a route changes. */
export interface RouteAuthz {
  readonly disabled: boolean;
  /** undefined: as the filter says; null: none is sent */
  readonly body: BufferBody | null | undefined;
  readonly contextExtensions: Readonly<Record<string, string>>;
  readonly settings: Located<CheckSettings>;
}

/** @throws ConfigError naming the field */
export function compileExtAuthz(config: ExtAuthz, env: FilterEnv): AuthzRules {
  const { transportApiVersion, withRequestBody, filterEnabled, filterEnabledMetadata } = config;
  if (transportApiVersion === 'V2') throw new ConfigError('transportApiVersion', 'V2 is not supported: must be V3');
  const disallowed = compileChoice(config.disallowedHeaders, 'disallowedHeaders');
  const form = formOf(config, disallowed, env);
  const { allowedHeaders } = config;
  const serviceOf: AuthzRules['serviceOf'] = (services, path) =>
    compileService(services, form, { allowedHeaders, disallowed }, env, path);
  const service = serviceOf(config, '');
  if (!service) throw new ConfigError('', 'must have grpcService or httpService');
  const share = filterEnabled ? shareOf(filterEnabled.defaultValue) : 1;
  const matches = filterEnabledMetadata && compileMetadataMatcher(filterEnabledMetadata, 'filterEnabledMetadata');
  return {
    service,
    body: withRequestBody && bodyOf(withRequestBody, 'withRequestBody'),
    failureModeAllow: config.failureModeAllow ?? false,
    marksFailure: config.failureModeAllowHeaderAdd ?? false,
    statusOnError: statusOfCode(config.statusOnError?.code ?? 'Forbidden'),
    clearRouteCache: config.clearRouteCache ?? false,
    enabled: (request) => (share >= 1 || env.random() < share) && (matches?.(request.metadata) ?? true),
    denyAtDisable: config.denyAtDisable?.defaultValue ?? false,
    takesMetadata: config.enableDynamicMetadataIngestion ?? true,
    maxDeniedBodyBytes: config.maxDeniedResponseBodyBytes ?? 0,
    serviceOf,
  };
}

type Services = Pick<ExtAuthz, 'grpcService' | 'httpService'>;

/** @returns undefined where none is named */
function compileService(
  { grpcService, httpService }: Services,
  form: CheckForm,
  options: HttpServiceOptions,
  env: Pick<FilterEnv, 'call' | 'now' | 'random'>,
  path: string,
): AuthorizationService | undefined {
  if (grpcService && httpService) throw new ConfigError(path, 'must have only one of grpcService and httpService');
  if (grpcService) return compileGrpcService(grpcService, form, env, `${path}grpcService`);
  return httpService && compileHttpService(httpService, options, env, `${path}httpService`);
}

function formOf(config: ExtAuthz, disallowed: HeaderChoice | undefined, { own }: FilterEnv): CheckForm {
  // The HTTP service has a list of its own (http-service.ts); a gRPC service is shown everything unless there is one.
  const allowed = config.grpcService ? compileChoice(config.allowedHeaders, 'allowedHeaders') : undefined;
  const labelsKey = config.bootstrapMetadataLabelsKey ?? '';
  return {
    shows: (key) => (allowed?.(key) ?? true) && disallowed?.(key) !== true,
    rawHeaders: config.encodeRawHeaders ?? false,
    packAsBytes: config.withRequestBody?.packAsBytes ?? false,
    peerCertificate: config.includePeerCertificate ?? false,
    tlsSession: config.includeTlsSession ?? false,
    metadataNamespaces: config.metadataContextNamespaces ?? [],
    destinationLabels: labelsKey === '' ? {} : textsOf(own?.metadata?.[labelsKey]),
  };
}

/** What a service is compiled with where only its configuration is checked. */
const UNUSED_ENV = {
  call: undefined as unknown as FilterEnv['call'],
  now: () => 0,
  random: () => 0,
};
const UNUSED_FORM: CheckForm = {
  shows: () => false,
  rawHeaders: false,
  packAsBytes: false,
  peerCertificate: false,
  tlsSession: false,
  metadataNamespaces: [],
  destinationLabels: {},
};

/** The texts of a JSON object. */
export function textsOf(value: unknown): Record<string, string> {
  if (typeof value !== 'object' || value === null) return {};
  return Object.fromEntries(Object.entries(value).filter(([, one]) => typeof one === 'string')) as Record<
    string,
    string
  >;
}

function bodyOf({ maxRequestBytes, allowPartialMessage = false }: BufferSettings, path: string): BufferBody {
  if (maxRequestBytes === 0) throw new ConfigError(`${path}.maxRequestBytes`, 'must be greater than 0');
  return { buffer: maxRequestBytes, whenFull: allowPartialMessage ? 'partial' : 'reject', keepsFraming: true };
}

/**
 * The most specific level says whether and how the service is asked; context extensions are those of all levels.
 * @throws ConfigError naming the field
 */
export function compileRouteAuthz(
  levels: readonly [Located<ExtAuthzPerRoute>, ...Located<ExtAuthzPerRoute>[]],
): RouteAuthz {
  for (const { config, path } of levels) checkLevel(config, path);
  const [{ config, path }] = levels;
  const { checkSettings: settings = {} } = config;
  const { disableRequestBodyBuffering = false, withRequestBody } = settings;
  const at = `${path}.checkSettings`;
  if (disableRequestBodyBuffering && withRequestBody)
    throw new ConfigError(at, 'must not have both disableRequestBodyBuffering and withRequestBody');
  // A filter compiles it with settings of its own, when a request first comes; errors are found now.
  compileService(settings, UNUSED_FORM, { allowedHeaders: undefined, disallowed: undefined }, UNUSED_ENV, `${at}.`);
  const extensions = levels.map((level) => level.config.checkSettings?.contextExtensions ?? {}).reverse();
  return {
    disabled: config.disabled ?? false,
    body: disableRequestBodyBuffering ? null : withRequestBody && bodyOf(withRequestBody, `${at}.withRequestBody`),
    contextExtensions: Object.assign({}, ...extensions) as Record<string, string>,
    settings: { config: settings, path: `${at}.` },
  };
}

function checkLevel({ disabled, checkSettings }: ExtAuthzPerRoute, path: string): void {
  if ((disabled === undefined) === (checkSettings === undefined) || disabled === false)
    throw new ConfigError(path, 'must have either checkSettings or disabled: true');
}
