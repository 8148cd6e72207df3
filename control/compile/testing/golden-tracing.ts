/** Tracing of a connection manager, by meaning: sampling, tags, where spans go, which headers carry the context. */
import { list, object, stripEmpty } from './golden-json.ts';

export function tracingMeaning(manager: unknown): unknown {
  const { tracing, requestIdExtension } = object(manager);
  const byRequestId = object(object(requestIdExtension)['typedConfig'])['useRequestIdForTraceSampling'];
  if (tracing === undefined) return { byRequestId };
  const { customTags, ...rest } = object(tracing);
  // Without a provider there are no spans: here workloads then share their configuration, which Istio's own tags would prevent.
  const unused = rest['provider'] === undefined;
  const tags = list(customTags).filter(({ tag }) => !(unused && String(tag).startsWith('istio.')));
  return { byRequestId, ...object(stripEmpty(rest)), tags: stripEmpty(tags) };
}
