/** Cases that wait for a feature; those that differ on purpose are in docs/differences-from-istio.md. */
export const EXCUSED: Record<string, string> = {
  'proxy-metadata': 'listener filter original_src is for capture with TPROXY, which is not made',
};

/** Single aspects of cases, by the paths of their differences. The rest of the case has to agree. */
export const EXCUSED_ASPECTS: Readonly<Record<string, { readonly path: RegExp; readonly why: string }>> = {
  'mesh-settings': {
    path: /\.log[[:]/,
    why: 'its access logs are of another run: istiod keeps the first one of its process, and the file is no part of the case',
  },
};
