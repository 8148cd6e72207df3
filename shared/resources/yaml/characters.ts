/** Characters that YAML allows only escaped (section 5.1); a lone surrogate is no character at all. */
export const FORBIDDEN = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u0084\u0086-\u009f\ufffe\uffff]|\p{Cs}/u;
