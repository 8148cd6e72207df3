/**
 * local_reply_config: what answers made here look like (envoyproxy.io, "Local reply modification"). The first mapper
 * whose filter matches changes status, body and headers; the formats then write the body. Compiled once.
 */
import { wireText } from '../../../shared/match/wire.ts';
import type { BodyFormat } from '../../../shared/xds/core.ts';
import type { HttpConnectionManager } from '../../../shared/xds/http-connection-manager.ts';
import { ConfigError, errorAt } from '../../config-error.ts';
import type { Clock } from '../../runtime/runtime.ts';
import { compileJson, compileText } from '../../telemetry/access-log.ts';
import { wallClockOf } from '../../telemetry/format-operators.ts';
import { compileLogFilter } from '../../telemetry/log-filter.ts';
import { compileHeaderEdit, type HeaderEdit } from '../headers/compile-header-operations.ts';
import type { HeaderMap } from '../message/header-map.ts';
import { bodyText } from '../request/local-reply.ts';
import type { ProxyRequest } from '../request/proxy-request.ts';
import type { LocalReply } from '../request/request-context.ts';
import type { BodyFormatter } from '../routing/route-table.ts';

type Config = NonNullable<HttpConnectionManager['localReplyConfig']>;
type Matches = (request: ProxyRequest) => boolean;

export interface MappedReply {
  readonly status: number;
  readonly body: string | Uint8Array;
  readonly contentType: string;
  /** Of the mapper that matched. */
  editHeaders(headers: HeaderMap): void;
}

interface Mapper {
  readonly matches: Matches;
  readonly status: number | undefined;
  readonly body: string | undefined;
  readonly edit: HeaderEdit;
  readonly formatter: BodyFormatter | undefined;
}
export type LocalReplyMap = (request: ProxyRequest, made: LocalReply) => MappedReply;

const PLAIN = 'text/plain';
const BODY = '%LOCAL_REPLY_BODY%';

/**
 * @returns undefined where nothing is changed
 * @throws ConfigError naming the field
 */
export function compileLocalReplies(config: Config | undefined, clock: Clock): LocalReplyMap | undefined {
  if (!config) return undefined;
  const at = 'local_reply_config';
  const mappers = (config.mappers ?? []).map((mapper, i): Mapper => {
    const path = `${at}.mappers[${i}]`;
    const { statusCode: status } = mapper;
    const matches = compileLogFilter(mapper.filter, `${path}.filter`, wallClockOf(clock));
    if (status !== undefined && (status < 200 || status > 599))
      throw new ConfigError(`${path}.status_code`, 'must be 200 to 599');
    if (mapper.body && mapper.body.inlineString === undefined)
      throw new ConfigError(`${path}.body`, 'only inline_string is supported');
    return {
      matches: (request) => matches(request, clock.monotonicMs()),
      status,
      body: mapper.body?.inlineString,
      edit: compileHeaderEdit(
        'response',
        [{ path, config: { responseHeadersToAdd: mapper.headersToAdd ?? [] } }],
        false,
        clock,
      ),
      formatter:
        mapper.bodyFormatOverride && compileBody(mapper.bodyFormatOverride, `${path}.body_format_override`, clock),
    };
  });
  const general = config.bodyFormat && compileBody(config.bodyFormat, `${at}.body_format`, clock);
  return (request, made) => {
    request.responseCode = made.status;
    const mapper = mappers.find((one) => one.matches(request));
    const status = mapper?.status ?? made.status;
    request.responseCode = status;
    const body = mapper?.body ?? made.body;
    request.localReplyBody = bodyText(body);
    const formatter = mapper?.formatter ?? general;
    return {
      status,
      body: formatter ? formatter.format(request, clock.monotonicMs()) : body,
      contentType: formatter?.contentType ?? PLAIN,
      editHeaders: (headers) => {
        // As in Envoy, a format in them still sees the status before the mapper's.
        request.responseCode = made.status;
        mapper?.edit(request, headers);
        request.responseCode = status;
      },
    };
  };
}

/** @throws ConfigError naming the field */
export function compileBody(format: BodyFormat, path: string, clock: Clock): BodyFormatter {
  const wallClock = wallClockOf(clock);
  if (format.jsonFormat) {
    const json = format.jsonFormat;
    const line = errorAt(path, () => compileJson(json, format.omitEmptyValues === true, wallClock));
    return {
      contentType: wireText(format.contentType || 'application/json'),
      format: (request, nowMs) => `${line(request, nowMs)}\n`,
    };
  }
  const text = format.textFormat ?? format.textFormatSource?.inlineString;
  if (text === undefined)
    throw new ConfigError(path, 'needs json_format, text_format or text_format_source.inline_string');
  const pieces = errorAt(path, () =>
    text.split(BODY).map((piece) => compileText(piece, wallClock, format.omitEmptyValues === true)),
  );
  return {
    contentType: wireText(format.contentType || PLAIN),
    format: (request, nowMs) => pieces.map((piece) => piece(request, nowMs)).join(request.localReplyBody),
  };
}
