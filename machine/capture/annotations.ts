/** Istio's annotations of a workload that say what is captured (istio.io/latest/docs/reference/config/annotations). */
import type { CaptureOptions } from './capture-options.ts';
import { checkOptions } from './check-options.ts';
import { type CaptureTexts, withTexts } from './lists.ts';

const PREFIX = 'traffic.sidecar.istio.io/';

/** Annotations that have an effect, by what follows `traffic.sidecar.istio.io/`. */
export const CAPTURE_ANNOTATIONS: readonly (keyof CaptureTexts)[] = [
  'includeOutboundIPRanges',
  'excludeOutboundIPRanges',
  'includeOutboundPorts',
  'excludeOutboundPorts',
  'includeInboundPorts',
  'excludeInboundPorts',
  'excludeInterfaces',
];

/**
 * @param annotations all of the workload's; others than CAPTURE_ANNOTATIONS are not read
 * @param defaults in the place of what is not annotated
 * @throws CaptureError naming the annotation and the word that is wrong
 */
export function captureOptionsOf(
  annotations: Readonly<Record<string, string>>,
  defaults: CaptureOptions,
): CaptureOptions {
  const given = CAPTURE_ANNOTATIONS.filter((name) => Object.hasOwn(annotations, PREFIX + name));
  const texts: CaptureTexts = Object.fromEntries(given.map((name) => [name, annotations[PREFIX + name]]));
  const options = withTexts(defaults, texts, (field) => `annotation ${PREFIX}${field}`);
  checkOptions(options);
  return options;
}
