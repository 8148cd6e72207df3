/** Lists as Istio's annotations and flags write them: words with commas between, white space ignored, empty: none. */
import { CaptureError, type CaptureOptions } from './capture-options.ts';
import { familyOf, isInterface } from './check-options.ts';

const words = (text: string): string[] => (text.trim() === '' ? [] : text.split(',').map((word) => word.trim()));

/** @param field as errors name it @throws CaptureError */
export function portList(text: string, field: string): readonly number[] {
  return numbers(text, field, 1, 65_535, 'a port (1 to 65535)');
}

/** Numbers of users or groups. @throws CaptureError */
export function idList(text: string, field: string): number[] {
  return numbers(text, field, 0, 4_294_967_294, 'an id');
}

/** @throws CaptureError */
export function rangeList(text: string, field: string): readonly string[] {
  return words(text).map((word) => {
    if (familyOf(word) === undefined) throw new CaptureError(`${field}: "${word}" is not an IP range, as 10.0.0.0/8`);
    return word;
  });
}

/** @throws CaptureError */
export function interfaceList(text: string, field: string): readonly string[] {
  return words(text).map((word) => {
    if (!isInterface(word)) throw new CaptureError(`${field}: "${word}" is not an interface, as docker0 or br-*`);
    return word;
  });
}

/** `*`: all. @throws CaptureError */
export const allOr = <T>(list: (text: string, field: string) => T, text: string, field: string): '*' | T =>
  text.trim() === '*' ? '*' : list(text, field);

function numbers(text: string, field: string, least: number, most: number, what: string): number[] {
  return words(text).map((word) => {
    const number = /^\d{1,10}$/.test(word) ? Number(word) : Number.NaN;
    if (!(number >= least && number <= most)) throw new CaptureError(`${field}: "${word}" is not ${what}`);
    return number;
  });
}

/** Fields that Istio names, as lists in text; a field that is absent keeps its default. */
export interface CaptureTexts {
  readonly includeOutboundIPRanges?: string;
  readonly excludeOutboundIPRanges?: string;
  readonly includeOutboundPorts?: string;
  readonly excludeOutboundPorts?: string;
  readonly includeInboundPorts?: string;
  readonly excludeInboundPorts?: string;
  readonly excludeInterfaces?: string;
}

/** @param nameOf how errors name a field @throws CaptureError naming the field and the word */
export function withTexts(
  defaults: CaptureOptions,
  texts: CaptureTexts,
  nameOf: (field: keyof CaptureTexts) => string,
): CaptureOptions {
  const read = <T>(field: keyof CaptureTexts, list: (text: string, field: string) => T, otherwise: T): T => {
    const text = texts[field];
    return text === undefined ? otherwise : list(text, nameOf(field));
  };
  const { outbound, inbound } = defaults;
  const rangesOrAll = (text: string, field: string) => allOr(rangeList, text, field);
  const portsOrAll = (text: string, field: string) => allOr(portList, text, field);
  return {
    ...defaults,
    outbound: {
      ...outbound,
      includeIPRanges: read('includeOutboundIPRanges', rangesOrAll, outbound.includeIPRanges),
      excludeIPRanges: read('excludeOutboundIPRanges', rangeList, outbound.excludeIPRanges),
      includePorts: read('includeOutboundPorts', portList, outbound.includePorts),
      excludePorts: read('excludeOutboundPorts', portList, outbound.excludePorts),
      excludeInterfaces: read('excludeInterfaces', interfaceList, outbound.excludeInterfaces),
    },
    inbound: {
      includePorts: read('includeInboundPorts', portsOrAll, inbound.includePorts),
      excludePorts: read('excludeInboundPorts', portList, inbound.excludePorts),
    },
  };
}
