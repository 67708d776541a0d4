//! The PushScaler resource, and every public name: labels, ports, conditions, reasons.
