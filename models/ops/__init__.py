"""Operations that make networks faster: linear maps in float32, and sentences without their padding."""
