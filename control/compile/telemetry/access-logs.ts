/**
 * Access logs of one side of a proxy: Telemetry's providers, else MeshConfig's (Telemetries.AccessLogging and
 * AccessLogBuilder of Istio).
 */
import { celRefusal } from '../../../shared/cel/expression.ts';
import type { ExtensionProvider, ProviderType } from '../../../shared/resources/mesh-config/mesh-config-providers.ts';
import type { AccessLogging } from '../../../shared/resources/schema/telemetry.ts';
import {
  ISTIO_JSON_FORMAT,
  ISTIO_TEXT_FORMAT,
  unreadablePart,
  unreadablePartOfJson,
} from '../../../shared/xds/access-log-format.ts';
import type { AccessLogFilter } from '../../../shared/xds/http-connection-manager.ts';
import { specOf } from '../../mesh/fields.ts';
import type { MeshSettings } from '../../mesh/view.ts';
import type { Finding } from '../output/finding.ts';
import { type AccessLog, accessLog } from '../wire.ts';
import { includesSide, type Side, type Telemetry } from './applicable.ts';
import { namesOf, providerNamed, providerType, withoutEffect } from './providers.ts';

/** What a proxy can write to; another file would be refused with the whole listener. */
const LOG_FILES: ReadonlySet<string> = new Set(['/dev/stdout', '/dev/stderr']);

export interface LogInput {
  readonly settings: Pick<MeshSettings, 'config' | 'accessLogFile' | 'accessLogFormat'>;
  readonly telemetries: readonly Telemetry[];
  readonly side: Side;
  readonly note: (finding: Finding) => void;
}

/** What Telemetry says of a provider. */
interface Chosen {
  readonly name: string;
  readonly filter: string | undefined;
  readonly disabled: boolean;
  /** Where it is written; undefined: MeshConfig names the provider. */
  readonly origin: Origin | undefined;
}
interface Origin {
  readonly resource: Telemetry;
  readonly path: string;
}

export function accessLogsOf({ settings, telemetries, side, note }: LogInput): AccessLog[] {
  const chosen = chosenProviders(telemetries, settings.config.defaultProviders?.accessLogging ?? [], side);
  const logs = chosen.map((one) => ({ one, log: logOf(settings, one, note) }));
  // A provider that is switched off is a decision, too: MeshConfig's own log does not come in its place.
  if (logs.some(({ one, log }) => one.disabled || log !== undefined)) return logs.flatMap(({ log }) => log ?? []);
  return meshLog(settings);
}

/** Those of a listener are for connections that find no filter chain: nothing else logs them. */
export function listenerLogsOf(logs: readonly AccessLog[]): AccessLog[] {
  const noRoute: AccessLogFilter = { responseFlagFilter: { flags: ['NR'] } };
  return logs.map(({ filter, ...log }) => ({
    ...log,
    filter: filter ? { andFilter: { filters: [noRoute, filter] } } : noRoute,
  }));
}

interface Entry {
  readonly entry: AccessLogging;
  readonly origin: Origin;
}

/** In the order of their names (mergeLogs of Istio). */
function chosenProviders(telemetries: readonly Telemetry[], defaults: readonly string[], side: Side): Chosen[] {
  const levels = telemetries.flatMap((resource): Entry[][] => {
    const entries = (specOf(resource).accessLogging ?? []).map((entry, i) => ({
      entry,
      origin: { resource, path: `spec.accessLogging[${i}]` },
    }));
    return entries.length > 0 ? [entries] : [];
  });
  if (levels.length === 0)
    return defaults.map((name) => ({ name, filter: undefined, disabled: false, origin: undefined }));
  const inScope = providersInScope(levels, defaults, side);
  const filters = filtersOf(levels, side);
  const found = new Map<string, Chosen>();
  let names = defaults;
  for (const { entry, origin } of levels.flat()) {
    const own = namesOf(entry.providers);
    if (own.length > 0) names = own;
    if (!includesSide(entry.match, side)) continue;
    const disabled = entry.disabled === true;
    for (const name of names.filter((one) => inScope.has(one)))
      found.set(name, { name, filter: disabled ? undefined : filters.get(name), disabled, origin });
  }
  return [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** The providers that the narrowest resource names which names any: it replaces those of the wider ones. */
function providersInScope(levels: readonly Entry[][], defaults: readonly string[], side: Side): ReadonlySet<string> {
  let names = defaults;
  for (const entries of levels) {
    const own = entries.flatMap(({ entry }) => (includesSide(entry.match, side) ? namesOf(entry.providers) : []));
    if (own.length > 0) names = own;
  }
  return new Set(names);
}

/** The last entry that names a provider has its filter. */
function filtersOf(levels: readonly Entry[][], side: Side): ReadonlyMap<string, string | undefined> {
  const filters = new Map<string, string | undefined>();
  for (const { entry } of levels.flat())
    if (includesSide(entry.match, side))
      for (const name of namesOf(entry.providers)) filters.set(name, entry.filter?.expression || undefined);
  return filters;
}

/** undefined: nothing is written, for a reason that is noted, or because it is switched off. */
function logOf(
  settings: LogInput['settings'],
  { name, filter, disabled, origin }: Chosen,
  note: LogInput['note'],
): AccessLog | undefined {
  const unused = (message: string): undefined => {
    if (origin) note(withoutEffect(origin.resource, `${origin.path}.${message}`));
  };
  if (disabled) return undefined;
  const provider = providerNamed(settings.config, name);
  if (!provider) return unused(`providers: MeshConfig has no extension provider "${name}": nothing is logged for it`);
  const missing = missingLogger(provider);
  if (missing !== undefined) return unused(`providers: "${name}" ${missing}`);
  const refusal = filter === undefined ? undefined : celRefusal(filter);
  if (refusal !== undefined)
    return unused(`filter.expression: ${refusal}: it holds for no request, and nothing is logged by "${name}"`);
  const log = fileLog(provider, settings, (message) => unused(`providers: "${name}": ${message}`));
  return filter === undefined ? log : { ...log, filter: expressionFilter(filter) };
}

const NO_EXPORTER: Readonly<Partial<Record<ProviderType, string>>> = {
  envoyHttpAls: 'sends access logs over gRPC, which proxies do not do yet: nothing is logged for it',
  envoyTcpAls: 'sends access logs over gRPC, which proxies do not do yet: nothing is logged for it',
  envoyOtelAls: 'sends access logs to OpenTelemetry, which proxies do not do yet: nothing is logged for it',
  stackdriver: 'sends access logs to Google Cloud, which proxies do not do: nothing is logged for it',
};

/** Why a provider writes no access log; undefined: it does. */
export function missingLogger(provider: ExtensionProvider): string | undefined {
  const type = providerType(provider);
  if (type !== 'envoyFileAccessLog')
    return (type && NO_EXPORTER[type]) ?? 'is no provider of access logs: nothing is logged for it';
  const path = provider.envoyFileAccessLog?.path || '/dev/stdout';
  return LOG_FILES.has(path)
    ? undefined
    : `writes to ${path}: proxies write to /dev/stdout or /dev/stderr only, and nothing is logged for it`;
}

function expressionFilter(expression: string): AccessLogFilter {
  return {
    extensionFilter: {
      name: 'envoy.access_loggers.extension_filters.cel',
      typedConfig: {
        '@type': 'type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter',
        expression,
      },
    },
  };
}

function fileLog(
  { name, envoyFileAccessLog = {} }: ExtensionProvider,
  settings: LogInput['settings'],
  note: (message: string) => void,
): AccessLog {
  const { logFormat, omitEmptyValues, path } = envoyFileAccessLog;
  const file = path || '/dev/stdout';
  // Istio's own provider writes as MeshConfig says.
  if (name === 'envoy' && !logFormat && !omitEmptyValues) return fileAccessLog(file, formatOf(settings));
  return fileAccessLog(file, { ...writtenFormat(logFormat, note), ...(omitEmptyValues && { omitEmptyValues }) });
}

function writtenFormat(
  format: NonNullable<ExtensionProvider['envoyFileAccessLog']>['logFormat'],
  note: (message: string) => void,
): object {
  const unreadable = format?.labels
    ? unreadablePartOfJson(format.labels)
    : format?.text
      ? unreadablePart(format.text)
      : undefined;
  if (unreadable !== undefined)
    note(`proxies cannot read ${unreadable} of its logFormat: Istio's default format is used`);
  const readable = unreadable === undefined ? format : undefined;
  if (format?.labels)
    return jsonFormat(
      readable?.labels && Object.keys(readable.labels).length > 0 ? readable.labels : ISTIO_JSON_FORMAT,
    );
  const text = readable?.text || ISTIO_TEXT_FORMAT;
  return { textFormatSource: { inlineString: text.endsWith('\n') ? text : `${text}\n` } };
}

const jsonFormat = (fields: object) => ({ jsonFormat: fields, jsonFormatOptions: { sortProperties: false } });

/** As Istio: none where MeshConfig names no file; lines of text unless it says JSON. */
function meshLog(settings: LogInput['settings']): AccessLog[] {
  const { accessLogFile: path } = settings;
  return path !== undefined && LOG_FILES.has(path) ? [fileAccessLog(path, formatOf(settings))] : [];
}

function formatOf({ accessLogFormat: format }: LogInput['settings']): object {
  return format?.json
    ? jsonFormat(format.json === true ? ISTIO_JSON_FORMAT : format.json)
    : { textFormatSource: { inlineString: format?.text ?? ISTIO_TEXT_FORMAT } };
}

function fileAccessLog(path: string, logFormat: object): AccessLog {
  const type = 'envoy.extensions.access_loggers.file.v3.FileAccessLog';
  return accessLog('envoy.access_loggers.file', type, { path, logFormat });
}
