import { ConfigFault } from '../../../edge-proxy/config-error.ts';
import type { BufferBody } from '../../../edge-proxy/http/filters/hooks.ts';
import { durationMs } from '../../../shared/xds/message.ts';
import type { ExternalCheck } from './schema.ts';

export interface CheckConfig {
  readonly cluster: string;
  readonly timeoutMs: number;
  readonly body: BufferBody;
}

/** @throws ConfigFault */
export function compileCheck({ cluster, timeout, maxRequestBytes, allowPartial = false }: ExternalCheck): CheckConfig {
  if (maxRequestBytes === 0) throw new ConfigFault('maxRequestBytes', 'must be greater than 0');
  return {
    cluster,
    timeoutMs: durationMs(timeout),
    body: { buffer: maxRequestBytes, whenFull: allowPartial ? 'partial' : 'reject' },
  };
}
