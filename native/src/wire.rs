//! What any reply has on the wire, whoever gives it: numbers, the header, our OPT record, errors in it.
//!
//! Rules: no I/O; it appends, and looks at nothing but what it is given.

pub const A: u16 = 1;
pub const AAAA: u16 = 28;
pub const NOERROR: u8 = 0;
pub const NXDOMAIN: u8 = 3;

/// No fragment on any path that DNS flag day 2020 knows of.
pub const UDP_LIMIT: usize = 1232;
/// Without EDNS (RFC 1035, section 4.2.1).
pub const UDP_PLAIN: usize = 512;

/// The flag of a message that is cut, in byte 2.
pub const TC: u8 = 0x02;

const EDE: [u8; 2] = [0, 15];

/// The header of a reply to `packet`, whose id and RD come back; `flags` are the others of bytes 2 and 3.
#[inline]
pub fn push_header(out: &mut Vec<u8>, packet: &[u8], flags: [u8; 2], counts: [u16; 3]) {
    let [an, ns, ar] = counts.map(u16::to_be_bytes);
    let rd = packet[2] & 0x01;
    out.extend_from_slice(&[packet[0], packet[1], flags[0] | rd, flags[1], 0, 1]);
    out.extend_from_slice(&[an[0], an[1], ns[0], ns[1], ar[0], ar[1]]);
}

/// Our OPT record. DO comes back as it was sent (RFC 3225, section 3).
#[inline]
pub fn push_opt(out: &mut Vec<u8>, dnssec_ok: bool, options: [&[u8]; 3]) {
    let [hi, lo] = (options.iter().map(|run| run.len()).sum::<usize>() as u16).to_be_bytes();
    let size = (UDP_LIMIT as u16).to_be_bytes();
    out.extend_from_slice(&[0, 0, 41, size[0], size[1], 0, 0, u8::from(dnssec_ok) << 7, 0, hi, lo]);
    for run in options {
        out.extend_from_slice(run);
    }
}

/// Cuts each Extended DNS Error (RFC 8914) to its code: the text is for people, the code for programs.
#[cold]
pub fn shorten(mut options: &[u8], out: &mut Vec<u8>) {
    while options.len() >= 6 {
        let length = u16::from_be_bytes([options[2], options[3]]) as usize;
        out.extend_from_slice(&[EDE[0], EDE[1], 0, 2, options[4], options[5]]);
        options = &options[(4 + length).min(options.len())..];
    }
}
