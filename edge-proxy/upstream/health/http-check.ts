/** Health checks by a request whose status is judged, once the response is whole. */
import type { UpstreamProtocol } from '../../http/codec/codecs.ts';
import type { HeaderMap } from '../../http/message/header-map.ts';
import type { ResponseHead } from '../../http/message/message.ts';
import type { ExchangeCheck, ResponseJudge } from './exchange-probe.ts';
import { type CheckResult, PASSED, REFUSED } from './health-checker.ts';

/** Counts against the threshold, as if there were no answer. */
const AGAIN: CheckResult = { ...REFUSED, immediate: false };

export interface HttpCheck {
  readonly protocol: UpstreamProtocol;
  readonly method: string;
  readonly path: string;
  /** Beside Host; names in lower case for HTTP/2. */
  readonly headers: HeaderMap;
  /** '' : the endpoint's, else the cluster's name. */
  readonly host: string;
  readonly clusterName: string;
  readonly expected: (status: number) => boolean;
  /** Statuses that count against the threshold like a failure to connect. */
  readonly retriable: (status: number) => boolean;
  readonly reuseConnection: boolean;
}

export function httpCheck(spec: HttpCheck): ExchangeCheck {
  const { protocol, method, path, headers, host, clusterName, reuseConnection } = spec;
  const isHttp2 = protocol.name === 'http2';
  return {
    protocol,
    reuseConnection,
    body: undefined,
    head: (target, secure) => ({
      method,
      scheme: isHttp2 ? (secure ? 'https' : 'http') : '',
      authority: target.healthCheck.hostname || host || clusterName,
      path,
      headers,
      bodySize: 0,
      upgrade: '',
      wantsContinue: false,
      version: isHttp2 ? 'HTTP/2' : 'HTTP/1.1',
    }),
    judge: () => new StatusJudge(spec),
  };
}

class StatusJudge implements ResponseJudge {
  private readonly spec: HttpCheck;
  private verdict: CheckResult | undefined;

  constructor(spec: HttpCheck) {
    this.spec = spec;
  }

  onHead({ status, headers }: ResponseHead, end: boolean): CheckResult | undefined {
    this.verdict = judgeStatus(this.spec, status, headers.has('x-envoy-degraded'));
    return end ? this.verdict : undefined;
  }

  onData(_: Uint8Array, end: boolean): CheckResult | undefined {
    return end ? this.verdict : undefined;
  }

  onTrailers(): CheckResult | undefined {
    return this.verdict;
  }
}

function judgeStatus(spec: HttpCheck, status: number, degraded: boolean): CheckResult {
  if (spec.expected(status)) return degraded ? { ...PASSED, degraded } : PASSED;
  return spec.retriable(status) ? AGAIN : REFUSED;
}
